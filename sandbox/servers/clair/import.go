package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/quay/claircore/libvuln"
)

// importBundle loads a bundle into the matcher's database, whose schema a
// running Clair must have made. An entry whose fingerprint is known already is
// skipped by claircore.
func importBundle(ctx context.Context, configPath, bundlePath string) error {
	cfg, err := load(ctx, configPath)
	if err != nil {
		return err
	}
	file, err := os.Open(bundlePath)
	if err != nil {
		return err
	}
	defer file.Close()
	var bundle io.Reader = file
	if strings.HasSuffix(bundlePath, ".gz") {
		unzipped, err := gzip.NewReader(file)
		if err != nil {
			return fmt.Errorf("reading %s: %w", bundlePath, err)
		}
		defer unzipped.Close()
		bundle = unzipped
	}
	text, err := readBundle(bundle)
	if err != nil {
		return fmt.Errorf("reading %s: %w", bundlePath, err)
	}
	pool, err := pgxpool.New(ctx, cfg.Matcher.ConnString)
	if err != nil {
		return fmt.Errorf("connecting to the matcher's database: %w", err)
	}
	defer pool.Close()
	if err := libvuln.OfflineImport(ctx, pool, bytes.NewReader(text)); err != nil {
		return fmt.Errorf("importing %s: %w", bundlePath, err)
	}
	return nil
}

// bundleLimit is far above what a sandbox imports.
const bundleLimit = 256 << 20

// readBundle reads a bundle and makes sure that it is one or more JSON values:
// claircore panics at anything else.
func readBundle(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, bundleLimit+1))
	if err != nil {
		return nil, err
	}
	if len(text) > bundleLimit {
		return nil, fmt.Errorf("the bundle is larger than %d bytes", bundleLimit)
	}
	values := 0
	for decoder := json.NewDecoder(bytes.NewReader(text)); ; values++ {
		var value json.RawMessage
		switch err := decoder.Decode(&value); {
		case errors.Is(err, io.EOF) && values == 0:
			return nil, errors.New("the bundle is empty")
		case errors.Is(err, io.EOF):
			return text, nil
		case err != nil:
			return nil, fmt.Errorf("entry %d: %w", values+1, err)
		}
	}
}
