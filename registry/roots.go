package registry

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxRoots bounds a file of certificates; that of a whole distribution has a quarter.
const maxRoots = 1 << 20

// Roots returns the system's certificates and, besides them, those of a PEM file.
func Roots(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificates: %w", err)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err // it names the file
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxRoots+1))
	if err != nil {
		return nil, err
	}
	if len(pem) > maxRoots {
		return nil, fmt.Errorf("reading %s: %w: more than %d bytes", file, ErrTooLarge, maxRoots)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading %s: %w", file, errNoCertificate)
	}
	return pool, nil
}

var errNoCertificate = errors.New("it holds no certificate: want those of authorities, in PEM (-----BEGIN CERTIFICATE-----)")
