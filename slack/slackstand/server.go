package slackstand

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
)

// Server is a [Stand] behind TLS on a free port of 127.0.0.1, as a webhook's
// URL must be https.
type Server struct {
	*Stand
	server *httptest.Server
}

// Serve starts a server; Close it.
func Serve(c Config) *Server {
	stand := New(c)
	server := httptest.NewUnstartedServer(stand)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections cut on purpose
	server.StartTLS()
	return &Server{Stand: stand, server: server}
}

// URL is the server's, without a path: "https://127.0.0.1:…".
func (s *Server) URL() string { return s.server.URL }

// Webhook is the URL of the webhook with a token, for instance "shop" or one
// of [Answers].
func (s *Server) Webhook(token string) string { return s.server.URL + Path(token) }

// Path is the path of the webhook with a token.
func Path(token string) string { return "/services/T00000000/B00000000/" + token }

// WriteCA writes the certificate that clients have to trust, as PEM.
func (s *Server) WriteCA(path string) error {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	if err := os.WriteFile(path, block, 0o644); err != nil {
		return fmt.Errorf("writing the Slack stand-in's certificate: %w", err)
	}
	return nil
}

// Close cuts what is open and ends the server.
func (s *Server) Close() {
	s.server.CloseClientConnections()
	s.server.Close()
}

// WaitOn is [Stand.Wait] for the webhook with a token.
func (s *Server) WaitOn(ctx context.Context, token string, n int) ([]Message, error) {
	return s.Wait(ctx, Path(token), n)
}
