package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
)

// Credential is a user and a password of a registry. Printed, logged or encoded
// it shows neither. The zero value stands for anonymous.
type Credential struct {
	Username string
	Password string
}

const redacted = "[redacted]"

// Format hides the credential from every verb, also those that look into structs.
func (Credential) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String hides the credential.
func (Credential) String() string { return redacted }

// GoString hides the credential from %#v.
func (Credential) GoString() string { return redacted }

// LogValue hides the credential from slog.
func (Credential) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the credential.
func (Credential) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// sum names a credential in keys of maps, so that these hold no password.
func (c Credential) sum() [sha256.Size]byte {
	return sha256.Sum256([]byte(fmt.Sprintf("%d:%s%s", len(c.Username), c.Username, c.Password)))
}

// Credentials finds what to present for a repository ("docker.io/library/nginx"),
// best first; none is no error. What it returns beside an error is presented as well,
// and the error told only if all is refused. It is asked at most once per repository
// and operation, and only for a registry that has refused an anonymous request, or
// takes no more of them for now.
type Credentials interface {
	Lookup(ctx context.Context, repo string) ([]Credential, error)
}

// Chain is all of c in one: it gives what they find, in their order and each credential
// once, and their errors, joined in one line, beside that. Each is asked, also where one
// before it has found something: what that found may be refused. Of each it takes sixteen
// at the most. nil ones are skipped.
func Chain(c ...Credentials) Credentials { return chain(slices.Clone(c)) }

type chain []Credentials

// Lookup asks all of them.
func (c chain) Lookup(ctx context.Context, repo string) ([]Credential, error) {
	var all []Credential
	var failure error
	for _, of := range c {
		if of == nil {
			continue
		}
		found, err := of.Lookup(ctx, repo)
		for _, cr := range found[:min(len(found), maxFromOne)] {
			if !slices.Contains(all, cr) {
				all = append(all, cr)
			}
		}
		failure = both(failure, err)
	}
	return all, failure
}

// maxConfigFile bounds a docker config: a Secret cannot hold more.
const maxConfigFile = 1 << 20

// ConfigFile gives the credentials of the daemon's own docker config (config.json).
// The file is read at the first look-up and anew whenever it has changed, as a mounted
// Secret does. A file that does not exist holds no credentials. The credential helpers
// that it names (credHelpers, credsStore) are programs, which are run: it must not be
// somebody else's. It is safe for concurrent use.
type ConfigFile struct {
	path string

	mu      sync.Mutex  // guards what follows
	seen    os.FileInfo // of the file that the others were read from
	keyring *Keyring
	helpers *helpers
}

var _ Credentials = (*ConfigFile)(nil)

// NewConfigFile returns the credentials of the docker config at path, which need
// not exist yet.
func NewConfigFile(path string) *ConfigFile { return &ConfigFile{path: path} }

// Lookup returns the file's credentials for repo, by the rules of [Keyring], then
// that of the helper which the file names for its host; one for all hosts is asked only
// where there are none. A file that is there and cannot be used, or a helper, is
// [ErrCredentials]; but of one for all hosts that is not there at all only those hear whom
// a registry refuses, in its refusal.
func (f *ConfigFile) Lookup(ctx context.Context, repo string) ([]Credential, error) {
	found, helpers, err := f.lookup(repo)
	if err != nil {
		return nil, fmt.Errorf("%w; mend the file that dockerConfig names", err)
	}
	if helpers == nil {
		return found, nil
	}
	helped, err := helpers.lookup(ctx, repo, len(found) > 0)
	return append(found, helped...), err
}

// lookup returns what the file holds itself, and its helpers.
func (f *ConfigFile) lookup(repo string) ([]Credential, *helpers, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.seen, f.keyring, f.helpers = nil, nil, nil
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if f.seen == nil || !os.SameFile(f.seen, info) || !f.seen.ModTime().Equal(info.ModTime()) || f.seen.Size() != info.Size() {
		if err := f.read(); err != nil {
			return nil, nil, err
		}
	}
	return f.keyring.Lookup(repo), f.helpers, nil
}

// read replaces keyring and helpers by what the file holds now.
func (f *ConfigFile) read() error {
	file, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxConfigFile+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if len(data) > maxConfigFile {
		return fmt.Errorf("reading %s: %w: more than %d bytes", f.path, ErrCredentials, maxConfigFile)
	}
	keyring := new(Keyring)
	if err := keyring.Add(data, false); err != nil {
		return fmt.Errorf("reading %s: %w", f.path, err)
	}
	helpers := readHelpers(data)
	if helpers.err != nil {
		helpers.err = fmt.Errorf("reading %s: %w; mend the file that dockerConfig names", f.path, helpers.err)
	}
	f.seen, f.keyring, f.helpers = info, keyring, helpers
	return nil
}

// Check reads the file and returns for how many registries it has credentials or names a program. No program is run. A
// file that does not exist has none; one that cannot be used is [ErrCredentials].
func (f *ConfigFile) Check() (registries int, err error) {
	_, helpers, err := f.lookup("")
	if err != nil {
		return 0, fmt.Errorf("%w; mend the file that dockerConfig names", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keyring != nil {
		registries = len(f.keyring.keys)
	}
	if helpers != nil {
		registries += len(helpers.byHost)
		err = helpers.err
	}
	return registries, err
}

// Edition is another text when the file has changed, been put there or taken away since.
func (f *ConfigFile) Edition() string {
	info, err := os.Stat(f.path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime())
}
