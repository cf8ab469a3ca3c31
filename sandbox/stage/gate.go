package stage

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// The servers behind a stage's gate.
const (
	API      gate.Server = "api"
	Clair    gate.Server = "clair"
	Registry gate.Server = "registry" // the one that is open to everybody
	Slack    gate.Server = "slack"
)

// userAgent begins the User-Agent of all that the daemon sends. Clair fetches layers through the gate, too,
// as it gets their addresses from the daemon, and is told apart by its own.
const userAgent = "clairwatch/"

// Gate stands between a daemon and its servers. The private registry is reached directly.
type Gate struct {
	*gate.Gate
	// The fronts' addresses, without a slash at the end.
	APIURL, ClairURL, RegistryURL, SlackURL string

	ca string // path of the certificate to trust
}

// OpenGate makes a gate, through which several daemons may go. Close it when they have ended.
func (s *Stage) OpenGate() (*Gate, error) {
	g := &Gate{Gate: gate.New(userAgent), ca: s.path("gate-ca.pem")}
	api := s.AdminConfig()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(api.CAData)
	slack, err := os.ReadFile(s.path("slack-ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("opening a gate: %w", err)
	}
	roots.AppendCertsFromPEM(slack)
	for _, front := range []struct {
		server   gate.Server
		upstream string
		own      *string
	}{
		{API, api.Host, &g.APIURL},
		{Clair, s.ClairURL, &g.ClairURL},
		{Registry, "http://" + s.RegistryHost, &g.RegistryURL},
		{Slack, s.Slack.URL(), &g.SlackURL},
	} {
		if *front.own, err = g.Open(front.server, front.upstream, roots); err != nil {
			g.Close()
			return nil, err
		}
	}
	if err := os.WriteFile(g.ca, g.CA(), 0o600); err != nil {
		g.Close()
		return nil, fmt.Errorf("opening a gate: %w", err)
	}
	return g, nil
}

// Webhook is the URL of a channel's webhook.
func (g *Gate) Webhook(channel string) string { return g.SlackURL + slackstand.Path(channel) }

// Scanner is the settings of a namespace whose messages go to a channel of the Slack stand-in.
func (g *Gate) Scanner(channel string) string { return scanner(g.ClairURL, g.Webhook(channel)) }
