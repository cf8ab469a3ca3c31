package registry

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Config says how to ask registries. Its zero value asks every registry over
// https that is not on a denied address.
type Config struct {
	// Registries are those that need something said about them.
	Registries []Registry
	// Allow are the hosts whose images are asked for, as image names have them; a star
	// stands for any characters, and one without a port for any port. Empty: all.
	// It is allowRegistries in the settings.
	Allow []string
	// Deny are hosts, written like that, that are never asked, nor followed to where a
	// registry redirects. It wins over Allow. It is denyRegistries in the settings.
	Deny []string
	// DenyAddresses are ranges ("10.0.0.0/8") that are not contacted, beside loopback
	// and link-local ones. A host that is listed in Registries may be there. It is
	// denyRegistryAddresses in the settings.
	DenyAddresses []string
	// Timeout bounds one request with its redirects and its body. 0: 30 s.
	Timeout time.Duration
	// UserAgent is what registries see. "": "clairwatch".
	UserAgent string
	// MaxManifest is the size in bytes above which a manifest is [ErrTooLarge].
	// 0: 4 MiB, as other runtimes have it.
	MaxManifest int64
	// MaxImages is how many resolved images are remembered. 0: 4096.
	MaxImages int
	// Roots verifies registries' certificates. nil: the system's.
	Roots *x509.CertPool
	// Transport carries the requests. nil: one of our own, which takes proxies
	// from the environment and dials no denied address. Another must guard itself.
	Transport http.RoundTripper
	// Count is told how each request ended, also those to token servers. It may be called by several goroutines at
	// once, and must not block. Nil: nobody counts.
	Count func(Outcome)
}

// Validate says all that is wrong with c, as [ErrInvalid], one line for each
// mistake; those of lists begin with the place in the settings, "registries[1]: ".
// Hosts are compared without case.
func (c Config) Validate() error {
	var errs []error
	seen := make(map[string]bool)
	for i, r := range c.Registries {
		host := r.name()
		if err := r.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("registries[%d]: %w", i, err))
		} else if seen[host] {
			errs = append(errs, fmt.Errorf("registries[%d]: registry host %q: %w: it is listed twice", i, r.Host, ErrInvalid))
		}
		seen[host] = true
	}
	_, err := c.lists()
	errs = append(errs, err)
	if c.Timeout < 0 || c.MaxManifest < 0 || c.MaxImages < 0 {
		errs = append(errs, fmt.Errorf("registry timeout and limits: %w: they cannot be negative", ErrInvalid))
	}
	return errors.Join(errs...)
}

// lists reads those of what may be asked.
func (c Config) lists() (lists, error) {
	allow, err1 := readList("allowRegistries", c.Allow)
	deny, err2 := readList("denyRegistries", c.Deny)
	ranges, err3 := readRanges("denyRegistryAddresses", c.DenyAddresses)
	return lists{allow: allow, deny: deny, ranges: ranges}, errors.Join(err1, err2, err3)
}

func (c Config) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 30 * time.Second
}

func (c Config) userAgent() string {
	if c.UserAgent != "" {
		return c.UserAgent
	}
	return "clairwatch"
}

func (c Config) maxManifest() int64 {
	if c.MaxManifest > 0 {
		return c.MaxManifest
	}
	return 4 << 20
}

func (c Config) maxImages() int {
	if c.MaxImages > 0 {
		return c.MaxImages
	}
	return 4096
}
