package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clairwatch/clairwatch/clair"
)

// answerLimit bounds an answer, in bytes. The daemon bounds it by the number of containers.
const answerLimit = 64 << 20

// runningDaemon is a daemon that runs, where its pages are.
type runningDaemon struct {
	base *url.URL
	// token is what it wants with a request; empty: none is sent.
	token string
	// line is the command that asks the same in the daemon's pod, such as "explain shop".
	line string
}

// daemonFlags say which daemon is asked.
type daemonFlags struct {
	config, address string
	// tokenFile holds the token of its pages. Empty: that of the config where address is empty too, and otherwise none,
	// so that nobody else is sent it.
	tokenFile string
}

// define defines the flags.
func (f *daemonFlags) define(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "address", "", "address of the daemon's pages, such as 127.0.0.1:8081 (default: web.listen of the config)")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the token of its pages (default: web.tokenFile of the config, unless --address is set)")
	configFlag(cmd.Flags(), &f.config)
}

// daemon is the daemon that is asked by a command line; where the flags do not say where it is, that of the config.
func (f *daemonFlags) daemon(cmd *cobra.Command, line string) (runningDaemon, error) {
	address, tokenFile, from := f.address, f.tokenFile, "--token-file"
	if address == "" {
		cfg, err := loadConfig(configPath(f.config, cmd.Flags()), cmd.Flags(), nil)
		if err != nil {
			return runningDaemon{}, err
		}
		if address, err = addressOfPages(cfg.Web.Listen); err != nil {
			return runningDaemon{}, err
		}
		if tokenFile == "" {
			tokenFile, from = cfg.Web.TokenFile, "web.tokenFile of the config"
		}
	}
	base, err := readAddress(address)
	if err != nil || tokenFile == "" {
		return runningDaemon{base: base, line: line}, err
	}
	token, err := clair.ReadToken(tokenFile)
	switch {
	case err != nil && misplaced(tokenFile): // which may be the token itself
		return runningDaemon{}, fmt.Errorf("%s: the file cannot be used: want the path of one that holds the token of the daemon's pages, and not the token itself", from)
	case err != nil:
		return runningDaemon{}, fmt.Errorf("%s: %w; it must hold the token of the daemon's pages", from, err)
	}
	return runningDaemon{base: base, token: token, line: line}, nil
}

// asking is what is being done, as errors say it.
func (d runningDaemon) asking() string { return "asking the daemon at " + printable(d.base.String()) }

// addressOfPages is where a daemon is reached that listens on an address, from where it runs.
func addressOfPages(listen string) (string, error) {
	if listen == "" {
		return "", errors.New("the daemon has no pages, and so nothing to ask: set web.listen in its config, such as 127.0.0.1:8081")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return "", fmt.Errorf("web.listen is %q, which does not say where the daemon is: say so with --address", printable(listen))
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

// readAddress reads the address of the pages, with or without http://.
func readAddress(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("--address: want the address of the daemon's pages, such as 127.0.0.1:8081")
	}
	return u, nil
}

// fetch sends a request and returns what answers, with the body.
func (d runningDaemon) fetch(ctx context.Context, method, path string, query url.Values, header http.Header) (*http.Response, []byte, error) {
	at := d.base.JoinPath(path)
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	if header != nil {
		request.Header = header
	}
	if d.token != "" {
		request.Header.Set("Authorization", "Bearer "+d.token)
	}
	request.Header.Set("User-Agent", userAgent())
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok { // without the address again
			err = failed.Err
		}
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit+1))
	if err == nil && len(body) > answerLimit {
		err = errLong
	}
	return response, body, err
}

// errLong says that an answer is longer than is read.
var errLong = fmt.Errorf("the answer has more than %d MiB: ask for one workload or pod", answerLimit>>20)

// unreachable adds to the error of a request what to do.
func (d runningDaemon) unreachable(err error) error {
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, errLong), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, http.ErrSchemeMismatch), record:
		return fmt.Errorf("what answers there speaks no TLS: write http:// in --address; otherwise %s", d.inItsPod())
	case untrusted:
		return fmt.Errorf("the certificate of what answers there is not trusted here: %s", d.inItsPod())
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "readLoopPeekFail"): // net/http has no types for them
		return fmt.Errorf("what answers there speaks no HTTP: %s", d.otherwise())
	}
	return fmt.Errorf("%w: %s", err, d.otherwise())
}

// wantsToken says what to do where a daemon lets in nobody without the token of its pages.
func (d runningDaemon) wantsToken() error {
	wants := "it wants the token of its pages: name the file that has it (web.tokenFile in the daemon's config) with --token-file"
	if d.token != "" {
		wants = "it wants another token than the one that was sent: see that the file is the one of web.tokenFile in the daemon's config"
	}
	return fmt.Errorf("%s; or %s", wants, d.inItsPod())
}

// stranger says of an answer that is none of a daemon's pages what it is likely of, and what to do.
func (d runningDaemon) stranger(response *http.Response, body []byte) error {
	const most = 4 << 10 // of a page of errors its beginning will do
	switch status := response.StatusCode; {
	case status == http.StatusBadRequest && d.base.Scheme == "http" && bytes.Contains(body[:min(len(body), most)], []byte("HTTPS")):
		return fmt.Errorf("what answers there speaks TLS: write https:// in --address; otherwise %s", d.inItsPod())
	case status >= 300 && status < 400, status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return fmt.Errorf("what answers there (status %d) wants a login, as a proxy before the pages does: %s", status, d.inItsPod())
	default:
		return fmt.Errorf("what answers there (status %d) is not the pages of a clairwatch of this version, which are at another port than /metrics: %s", status, d.otherwise())
	}
}

// otherwise says how else to ask.
func (d runningDaemon) otherwise() string {
	return "name the address of the pages with --address (web.listen in the daemon's config, 127.0.0.1:8081 if that does not say), or " + d.inItsPod()
}

// inItsPod says how to ask where the daemon runs.
func (d runningDaemon) inItsPod() string { return "ask in its pod: " + d.lineIn("deploy/clairwatch") }

// lineIn is the command line that asks in a pod.
func (d runningDaemon) lineIn(pod string) string {
	return "kubectl -n clairwatch exec " + pod + " -- /clairwatch " + d.line
}
