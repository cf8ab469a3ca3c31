package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ownServer is a server in this process. It ends with the sandbox.
type ownServer struct {
	name   string
	server *http.Server
	ended  chan error
}

// serve answers at an address until the sandbox ends.
func (s *Sandbox) serve(ctx context.Context, name, address string, handler http.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return fmt.Errorf("starting %s: the sandbox has been stopped", name)
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	o := &ownServer{name: name, server: &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}, ended: make(chan error, 1)}
	go func() { o.ended <- o.server.Serve(listener) }()
	s.own = append(s.own, o)
	return nil
}

func (o *ownServer) stop() error {
	if err := o.server.Close(); err != nil {
		return fmt.Errorf("stopping %s: %w", o.name, err)
	}
	if err := <-o.ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving as %s: %w", o.name, err)
	}
	return nil
}

// byName is a loopback address with another host, such as localhost: clients take
// that for another host, and may refuse a realm that is another private address
// than the registry's own.
func byName(host, address string) (string, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}
