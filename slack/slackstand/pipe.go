package slackstand

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// Pipe is a [Stand] that is reached through memory: no port, no TLS, and nothing
// that waits for the kernel, so that a test in virtual time can talk HTTP to it.
type Pipe struct {
	*Stand
	// Transport leads to the Stand, whatever the host of an https URL is.
	Transport *http.Transport

	server *http.Server
	line   *line
	served chan struct{}
}

// ServePipe starts a server; Close it.
func ServePipe(c Config) *Pipe {
	l := &line{calls: make(chan net.Conn), closed: make(chan struct{})}
	stand := New(c)
	p := &Pipe{
		Stand: stand,
		// That the client need not be told to speak plain HTTP is the point: to it
		// the connection is the one that TLS would have made.
		Transport: &http.Transport{DialTLSContext: l.dial},
		server:    &http.Server{Handler: stand, ErrorLog: log.New(io.Discard, "", 0)}, // connections cut on purpose
		line:      l,
		served:    make(chan struct{}),
	}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(l) // ends with Close
	}()
	return p
}

// Close cuts what is open and ends the server.
func (p *Pipe) Close() {
	p.Transport.CloseIdleConnections()
	_ = p.server.Close() // there is nothing that could go wrong with memory
	<-p.served
}

// line is a listener whose connections begin in dial.
type line struct {
	calls  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// dial returns the client's end of a new connection.
func (l *line) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.calls <- server:
		return client, nil
	case <-l.closed:
		return nil, errors.New("connecting to the Slack stand-in: it is closed")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept implements [net.Listener].
func (l *line) Accept() (net.Conn, error) {
	select {
	case server := <-l.calls:
		return server, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *line) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *line) Addr() net.Addr { return lineAddr{} }

type lineAddr struct{}

func (lineAddr) Network() string { return "pipe" }
func (lineAddr) String() string  { return "pipe" }
