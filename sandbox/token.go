package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// tokenServer issues the bearer tokens of a private registry by the rules of
// https://distribution.github.io/distribution/spec/auth/token/. Nobody gets one
// without a password.
type tokenServer struct {
	accounts    map[string]account
	certificate string // the path of the certificate that the registry believes

	mu     sync.Mutex
	signer jose.Signer // guarded by mu
}

// newTokenServer makes a token server, and writes its certificate into dir.
func newTokenServer(dir string, accounts map[string]account) (*tokenServer, error) {
	t := &tokenServer{accounts: accounts, certificate: filepath.Join(dir, "token-certificate.pem")}
	if err := t.renewKey(); err != nil {
		return nil, fmt.Errorf("preparing a token server: %w", err)
	}
	return t, nil
}

// renewKey has tokens signed by a new key. Those of before are void as soon as the
// registry has read the certificate again.
func (t *tokenServer) renewKey() error {
	private, err := newKey()
	if err != nil {
		return err
	}
	template, err := newTemplate(tokenIssuer)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	// The form that every version of the registry understands: the token brings the
	// certificate of its key along.
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("x5c", []string{base64.StdEncoding.EncodeToString(der)})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: tokenAlgorithm, Key: private}, options)
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.certificate, encodeCertificate(der), 0o600); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.signer = signer
	return nil
}

// handler answers at /token.
func (t *tokenServer) handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /token", t.issue)
	return routes
}

// auth is the section of the configuration of a registry that believes the tokens.
// host is where its clients reach the token server.
func (t *tokenServer) auth(host string) map[string]any {
	return map[string]any{"token": map[string]any{
		"realm":             "http://" + host + "/token",
		"service":           tokenService,
		"issuer":            tokenIssuer,
		"rootcertbundle":    t.certificate,
		"signingalgorithms": []string{string(tokenAlgorithm)},
	}}
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
	t.mu.Lock()
	signer := t.signer
	t.mu.Unlock()
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
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
