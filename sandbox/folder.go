package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// folderPattern names the folders of sandboxes inside the system's temporary folder.
const folderPattern = "clairwatch-sandbox-"

// makeFolder makes the folder of the sandbox and, unless it is to be kept,
// locks it for as long as this process lives. It first removes the folders of sandboxes whose process died
// before it could.
func (s *Sandbox) makeFolder() error {
	sweep()
	dir, err := os.MkdirTemp("", folderPattern)
	if err != nil {
		return fmt.Errorf("making a folder for the sandbox: %w", err)
	}
	// Postgres refuses to run as root: another user then has to pass through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return errors.Join(fmt.Errorf("making a folder for the sandbox: %w", err), os.Remove(dir))
	}
	s.Dir = dir
	if s.keep {
		return nil // without a lock file no sweep touches it
	}
	if s.lock, err = lockFolder(dir); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

// lockFolder makes the file "lock" in dir, locked before it has that name, so
// that sweep never meets it unlocked while its sandbox lives.
func lockFolder(dir string) (*os.File, error) {
	early := filepath.Join(dir, "lock.new")
	file, err := os.OpenFile(early, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the sandbox's folder: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = os.Rename(early, filepath.Join(dir, "lock"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the sandbox's folder: %w", err), file.Close())
	}
	return file, nil
}

// sweep removes the folders of sandboxes that were killed: those whose lock
// nobody holds. Folders to be kept have no lock file. What cannot be removed
// belongs to somebody else and stays.
func sweep() {
	locks, err := filepath.Glob(filepath.Join(os.TempDir(), folderPattern+"*", "lock"))
	if err != nil {
		return // only a malformed pattern, and nothing depends on a sweep
	}
	for _, path := range locks {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(filepath.Dir(path))
		}
		file.Close()
	}
}
