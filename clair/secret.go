package clair

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
)

// secretLimit bounds a file that holds a key or a token, in bytes.
const secretLimit = 4 << 10

// readSecret reads a file that holds nothing but a key or a token, without the white space around it. It is read
// at each use: it is small, and so a new one takes effect at once. Errors name the file and repeat nothing of it.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path) // a pipe would be waited for
	switch {
	case err != nil:
		return "", fmt.Errorf("the file %s cannot be read: %w", path, withoutPath(err))
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the file %s cannot be read: %w", path, withoutPath(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, secretLimit+1))
	secret := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return "", fmt.Errorf("the file %s cannot be read: %w", path, withoutPath(err))
	case len(text) > secretLimit:
		return "", fmt.Errorf("the file %s has more than %d KiB", path, secretLimit>>10)
	case secret == "":
		return "", fmt.Errorf("the file %s is empty", path)
	}
	return secret, nil
}

// withoutPath takes the path off an error that names it already.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// readKey reads a key in the form that Clair's auth.psk.key has.
func readKey(path string) ([]byte, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("the file %s holds no base64", path) // the error would say where it is none
	}
	return key, nil
}

// ReadToken reads a file that holds nothing but a token, as it stands after "Bearer", of at most 4 KiB. Its errors say
// what is wrong with the file, and hold nothing of it.
func ReadToken(path string) (string, error) {
	token, err := readSecret(path)
	if err != nil {
		return "", err
	}
	if strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "", fmt.Errorf("the file %s holds more than one word", path)
	}
	return token, nil
}
