package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/clairwatch/clairwatch/registry"
)

// checkRegistries asks each registry of the config whether it is one.
func (c *checkup) checkRegistries(ctx context.Context) []row {
	var rows []row
	var roots *x509.CertPool
	if c.cfg.RegistryCAFile != "" {
		const what = "certificates (registryCAFile)"
		var err error
		if roots, err = registry.Roots(c.cfg.RegistryCAFile); err != nil {
			return []row{{what, isProblem, err.Error()}}
		}
		rows = append(rows, row{what, isOK, c.cfg.RegistryCAFile})
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	transport.MaxResponseHeaderBytes = 64 << 10
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: checkTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return append(rows, inOrder(c.cfg.Registries, func(r registry.Registry) []row {
		if r.Validate() != nil {
			return nil // the config says so
		}
		return []row{checkRegistry(ctx, client, r)}
	})...)
}

// checkRegistry asks for the root of a registry's API, as the specification of OCI has it for this purpose.
func checkRegistry(ctx context.Context, client *http.Client, r registry.Registry) row {
	at := registryAddress(r)
	what := "registry " + r.Host
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/v2/", nil)
	if err != nil {
		return row{what, isProblem, "its address is none: want https://host[:port], or http"}
	}
	request.Header.Set("User-Agent", userAgent())
	answer, err := client.Do(request)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return row{what, isProblem, fmt.Sprintf("%s does not answer: %v; see whether endpoint and insecure are right, and registryCAFile", at, err)}
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK, http.StatusUnauthorized:
		return row{what, isOK, at + " answers"}
	case http.StatusNotFound, http.StatusForbidden:
		return row{what, isInfo, fmt.Sprintf("%s answers %d to /v2/: right for a token server or a blob store; a registry answers 200 or 401", at, answer.StatusCode)}
	}
	return row{what, isWarning, fmt.Sprintf("%s answers %d to /v2/: a registry answers 200 or 401", at, answer.StatusCode)}
}

// registryAddress is where a registry is reached, without a path and a slash at its end.
func registryAddress(r registry.Registry) string {
	scheme, host := "https", r.Host
	if strings.EqualFold(host, "docker.io") {
		host = "registry-1.docker.io" // which serves it
	}
	if r.Insecure {
		scheme = "http"
	}
	if u, err := url.Parse(r.Endpoint); err == nil && r.Endpoint != "" {
		scheme, host = u.Scheme, u.Host // a path of it is put before the repositories
	}
	return scheme + "://" + host
}

// dockerConfigLimit bounds a docker config, in bytes: a Secret cannot hold more.
const dockerConfigLimit = 1 << 20

// checkDockerConfig says for which registries the docker config has credentials, and shows none.
func (c *checkup) checkDockerConfig() []row {
	path := c.cfg.DockerConfig
	if path == "" {
		return []row{{"docker config", isInfo, "there is none (dockerConfig): images of private registries need image pull secrets"}}
	}
	what := "docker config " + path
	if c.isElsewhere(path) {
		return []row{{what, isInfo, "it is not here and was not looked at: check it where the daemon runs"}}
	}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && path == defaults().DockerConfig:
		return []row{{what, isInfo, "there is none: images of private registries need image pull secrets"}}
	case errors.Is(err, fs.ErrNotExist):
		return []row{{what, isWarning, "there is none: see whether dockerConfig is right"}}
	case err != nil:
		return []row{{what, isProblem, "it cannot be read: " + withoutPath(err).Error()}}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, dockerConfigLimit+1))
	switch {
	case err != nil:
		return []row{{what, isProblem, "it cannot be read: " + withoutPath(err).Error()}}
	case len(text) > dockerConfigLimit:
		return []row{{what, isProblem, fmt.Sprintf("it has more than %d MiB", dockerConfigLimit>>20)}}
	}
	return describeDockerConfig(what, text)
}

// describeDockerConfig names the registries and programs of a docker config.
func describeDockerConfig(what string, text []byte) []row {
	var config struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredHelpers map[string]string          `json:"credHelpers"`
		CredsStore  string                     `json:"credsStore"`
	}
	if json.Unmarshal(text, &config) != nil {
		return []row{{what, isProblem, "it is not the JSON of a docker config: docker login writes one"}}
	}
	var hosts, empty []string
	for _, key := range slices.Sorted(maps.Keys(config.Auths)) {
		if hasCredentials(config.Auths[key]) {
			hosts = append(hosts, hostOfKey(key))
		} else {
			empty = append(empty, hostOfKey(key))
		}
	}
	rows := []row{{what, isOK, "credentials for " + cmp.Or(strings.Join(slices.Compact(hosts), ", "), "no registry")}}
	if len(empty) > 0 && config.CredsStore == "" {
		rows = append(rows, row{what, isWarning, "no user name and password for " + strings.Join(slices.Compact(empty), ", ")})
	}
	for _, host := range slices.Sorted(maps.Keys(config.CredHelpers)) {
		rows = append(rows, checkHelper(what, config.CredHelpers[host], hostOfKey(host), isProblem))
	}
	if config.CredsStore != "" {
		// Desktops write it; where it is not there it is left out.
		rows = append(rows, checkHelper(what, config.CredsStore, "all other registries", isInfo))
	}
	return rows
}

// hasCredentials says whether an entry holds a user name and a password that can be read.
func hasCredentials(entry json.RawMessage) bool {
	alone, err := json.Marshal(map[string]map[string]json.RawMessage{"auths": {"registry": entry}})
	if err != nil {
		return false
	}
	var keyring registry.Keyring
	return keyring.Add(alone, false) == nil && len(keyring.Lookup("registry/image")) > 0
}

// hostOfKey is what a key of a docker config names, without a user that somebody may have written there.
func hostOfKey(key string) string {
	_, after, found := strings.Cut(key, "://")
	if !found {
		after = key
	}
	host, _, _ := strings.Cut(after, "/")
	return host[strings.LastIndexByte(host, '@')+1:]
}

// checkHelper says whether a credential helper is there. It is not run: it may ask a person.
func checkHelper(what, name, host string, missing outcome) row {
	program := "docker-credential-" + name
	if strings.ContainsAny(name, `/\`) {
		return row{what, isProblem, "the credential helper for " + host + " is no name of a program"}
	}
	if _, err := exec.LookPath(program); err != nil {
		return row{what, missing, program + ", for " + host + ", is not here: put it into the PATH of the image, or write the credentials themselves under auths"}
	}
	return row{what, isOK, program + " for " + host + " (not run)"}
}
