package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Ports are taken from below the ephemeral range, whose ports the kernel gives
// to outgoing connections: a client that reconnects to a stopped server could
// otherwise be given the server's own port and connect to itself, and the
// server could not listen again.
const (
	lowestPort  = 20000
	highestPort = 32767
	portTries   = 1000
)

// ports hands out ports that nobody listens on and keeps other sandboxes of the
// same user off them, so that a stopped server finds its port free again.
type ports struct {
	mu    sync.Mutex
	file  *os.File // a lock on byte n reserves port n; the kernel drops all with the file
	taken map[int]bool
}

func newPorts() (*ports, error) {
	dir, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "ports.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("reserving ports: %w", err)
	}
	return &ports{file: file, taken: map[int]bool{}}, nil
}

// address reserves a port of 127.0.0.1 and returns host:port.
func (p *ports) address() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range portTries {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		if p.taken[port] || !p.reserve(port) {
			continue
		}
		p.taken[port] = true
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue // some other program's
		}
		if err := listener.Close(); err != nil {
			return "", fmt.Errorf("trying port %d: %w", port, err)
		}
		return address, nil
	}
	return "", fmt.Errorf("no free port of 127.0.0.1 found between %d and %d", lowestPort, highestPort)
}

// reserve says whether no other sandbox has the port.
func (p *ports) reserve(port int) bool {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(port), Len: 1}
	return unix.FcntlFlock(p.file.Fd(), unix.F_OFD_SETLK, &lock) == nil
}

func (p *ports) release() error {
	if err := p.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("releasing ports: %w", err)
	}
	return nil
}
