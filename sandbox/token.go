package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tokenIssuer    = "sandbox-tokens"
	tokenService   = "sandbox-registry"
	tokenAlgorithm = jose.ES256
	tokenLife      = 5 * time.Minute // what Docker Hub gives
	pushUser       = "sandbox"       // pushes the images
)

// account is a user of the private registry.
type account struct {
	password string
	actions  []string // what the user may do in a repository
	// only and never are how the names of repositories begin where the user may
	// do something, and where not; empty: everywhere, and nowhere.
	only, never string
}

// may says whether the user may do anything in a repository.
func (a account) may(repository string) bool {
	return strings.HasPrefix(repository, a.only) && (a.never == "" || !strings.HasPrefix(repository, a.never))
}

// tokenServer issues the bearer tokens of the private registry by the rules of
// https://distribution.github.io/distribution/spec/auth/token/. Nobody gets one
// without a password.
type tokenServer struct {
	accounts map[string]account
	host     string // its host:port
	realm    string // the URL that the registry sends its clients to
	key      jose.JSONWebKey
	signer   jose.Signer
	server   *http.Server
	ended    chan error
}

func newTokenServer(ctx context.Context, address string, accounts map[string]account) (*tokenServer, error) {
	private, err := newKey()
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: "sandbox", Algorithm: string(tokenAlgorithm), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: tokenAlgorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("preparing the token server: %w", err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("preparing the token server: %w", err)
	}
	// By name: clients may refuse a realm that is another private address than
	// the registry's own.
	host := net.JoinHostPort("localhost", port)
	realm := "http://" + host + "/token"
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("starting the token server: %w", err)
	}
	t := &tokenServer{accounts: accounts, host: host, realm: realm, key: key, signer: signer, ended: make(chan error, 1)}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /token", t.issue)
	t.server = &http.Server{Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	go func() { t.ended <- t.server.Serve(listener) }()
	return t, nil
}

// writeKeys writes the public key as the registry reads it.
func (t *tokenServer) writeKeys(path string) error {
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{t.key.Public()}})
	if err != nil {
		return fmt.Errorf("writing the token server's key: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("writing the token server's key: %w", err)
	}
	return nil
}

// access is one entry of a token: what it allows in a repository.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (t *tokenServer) issue(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	holder, known := t.accounts[user]
	if !known || subtle.ConstantTimeCompare([]byte(password), []byte(holder.password)) != 1 {
		w.Header().Set("WWW-Authenticate", `Basic realm="sandbox"`)
		http.Error(w, "a user and a password are needed", http.StatusUnauthorized)
		return
	}
	if r.FormValue("service") != tokenService {
		http.Error(w, "unknown service", http.StatusBadRequest)
		return
	}
	now := time.Now()
	token, err := jwt.Signed(t.signer).Claims(jwt.Claims{
		Issuer:    tokenIssuer,
		Subject:   user,
		Audience:  jwt.Audience{tokenService},
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now),
		Expiry:    jwt.NewNumericDate(now.Add(tokenLife)),
		ID:        rand.Text(),
	}).Claims(map[string]any{"access": grant(r.Form["scope"], holder)}).Serialize()
	if err != nil {
		http.Error(w, "signing the token: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{ // an error means that the client is gone
		"token": token, "expires_in": int(tokenLife.Seconds()), "issued_at": now.UTC().Format(time.RFC3339),
	})
}

// grant returns what is both asked for, by scopes like
// "repository:team/app:pull,push", and allowed to the account.
func grant(scopes []string, holder account) []access {
	granted := []access{}
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		kind, rest, _ := strings.Cut(scope, ":")
		colon := strings.LastIndexByte(rest, ':') // a name may begin with host:port
		if kind != "repository" || colon < 0 || !holder.may(rest[:colon]) {
			continue
		}
		actions := slices.DeleteFunc(strings.Split(rest[colon+1:], ","), func(action string) bool {
			return !slices.Contains(holder.actions, action)
		})
		if len(actions) > 0 {
			granted = append(granted, access{Type: kind, Name: rest[:colon], Actions: actions})
		}
	}
	return granted
}

func (t *tokenServer) stop() error {
	if err := t.server.Close(); err != nil {
		return fmt.Errorf("stopping the token server: %w", err)
	}
	if err := <-t.ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving tokens: %w", err)
	}
	return nil
}
