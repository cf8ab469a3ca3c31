package main

import (
	"log/slog"
	"net/http"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/settings"
)

// callers says who may call /notify: nil for the headers of who may. The log has what is wrong with the secrets at the
// start; requests say so again while it lasts.
func callers(cfg Config, log *slog.Logger) func(http.Header) error {
	all := clairCallers(cfg)
	if all.Anybody() {
		log.Info("anybody who reaches this port may call /notify, which has Clair asked about notifications, one at a time; " +
			"notifyTokenFile and clairs[].pskFile say who may")
	}
	if err := all.Check(); err != nil {
		log.Warn("nobody is let in at /notify, and nothing is asked of Clair, with what cannot be read; it is read again when needed",
			"error", err)
	}
	return all.Admit
}

// clairCallers are those who may call, by the settings.
func clairCallers(cfg Config) *clair.Callers {
	who := clair.CallersConfig{TokenFile: cfg.NotifyTokenFile}
	for _, c := range cfg.Clairs {
		if key := psk(c); key != nil {
			who.PSKs = append(who.PSKs, key)
		}
	}
	return clair.NewCallers(who)
}

// psk is the key that a Clair shares with its clients; nil when there is none.
func psk(c ClairConfig) *clair.PSK {
	if c.PSKFile == "" {
		return nil
	}
	return clair.NewPSK(clair.PSKConfig{Clair: c.URL, File: c.PSKFile, Issuer: c.Issuer})
}

// callbackAliases are the further addresses of Clairs in callbacks, by their addresses as the settings of namespaces
// spell them.
func callbackAliases(cfg Config) map[string][]string {
	aliases := make(map[string][]string)
	for _, c := range cfg.Clairs {
		if base, err := settings.BaseURL(c.URL); err == nil && len(c.CallbackAliases) > 0 {
			aliases[base] = c.CallbackAliases
		}
	}
	return aliases
}
