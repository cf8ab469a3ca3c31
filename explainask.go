package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clairwatch/clairwatch/watcher"
)

// explanationLimit bounds an answer, in bytes. The daemon bounds it by the number of containers.
const explanationLimit = 64 << 20

// askDaemon asks the daemon at an address.
func askDaemon(ctx context.Context, base *url.URL, q watcher.Question) (watcher.Explanation, error) {
	ctx, cancel := context.WithTimeout(ctx, explainTime+5*time.Second)
	defer cancel()
	doing := "asking the daemon at " + printable(base.String())
	response, body, err := fetch(ctx, base, q)
	if err != nil {
		return watcher.Explanation{}, fmt.Errorf("%s: %w", doing, unreachable(err, q))
	}
	var answer struct {
		watcher.Explanation
		refusal
	}
	err = json.Unmarshal(body, &answer)
	switch {
	case err == nil && answer.Error != "":
		return watcher.Explanation{}, fmt.Errorf("%s: %s", doing, answer.advice(q))
	case err != nil || response.StatusCode != http.StatusOK || answer.Namespace != q.Namespace || answer.Vulnerability != q.Vulnerability:
		return watcher.Explanation{}, fmt.Errorf("%s: %w", doing, stranger(base, response, body, q))
	}
	return answer.Explanation, nil
}

// fetch asks a question and returns what answers, with the body.
func fetch(ctx context.Context, base *url.URL, q watcher.Question) (*http.Response, []byte, error) {
	at := base.JoinPath(explainPath)
	query := url.Values{"namespace": {q.Namespace}}
	if q.Name != "" {
		query.Set("name", q.Name)
	}
	if q.Vulnerability != "" {
		query.Set("vulnerability", q.Vulnerability)
	}
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, nil, err
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
	body, err := io.ReadAll(io.LimitReader(response.Body, explanationLimit+1))
	if err == nil && len(body) > explanationLimit {
		err = errLong
	}
	return response, body, err
}

// errLong says that an answer is longer than is read.
var errLong = fmt.Errorf("the answer has more than %d MiB: ask for one workload or pod", explanationLimit>>20)

// unreachable adds to the error of a request what to do.
func unreachable(err error, q watcher.Question) error {
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, errLong), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, http.ErrSchemeMismatch), record:
		return fmt.Errorf("what answers there speaks no TLS: write http:// in --address; otherwise %s", inItsPod(q))
	case untrusted:
		return fmt.Errorf("the certificate of what answers there is not trusted here: %s", inItsPod(q))
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "readLoopPeekFail"): // net/http has no types for them
		return fmt.Errorf("what answers there speaks no HTTP: %s", otherwise(q))
	}
	return fmt.Errorf("%w: %s", err, otherwise(q))
}

// stranger says of an answer that is none of a daemon's pages what it is likely of, and what to do.
func stranger(base *url.URL, response *http.Response, body []byte, q watcher.Question) error {
	const most = 4 << 10 // of a page of errors its beginning will do
	switch status := response.StatusCode; {
	case status == http.StatusBadRequest && base.Scheme == "http" && bytes.Contains(body[:min(len(body), most)], []byte("HTTPS")):
		return fmt.Errorf("what answers there speaks TLS: write https:// in --address; otherwise %s", inItsPod(q))
	case status >= 300 && status < 400, status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return fmt.Errorf("what answers there (status %d) wants a login, as a proxy before the pages does: %s", status, inItsPod(q))
	default:
		return fmt.Errorf("what answers there (status %d) is not the pages of a clairwatch of this version, which are at another port than /metrics: %s", status, otherwise(q))
	}
}

// otherwise says how else to ask.
func otherwise(q watcher.Question) string {
	return "name the address of the pages with --address (web.listen in the daemon's config, 127.0.0.1:8081 if that does not say), or " + inItsPod(q)
}

// inItsPod says how to ask where the daemon runs.
func inItsPod(q watcher.Question) string { return "ask in its pod: " + lineIn("deploy/clairwatch", q) }

// lineIn is the command line that asks a question in a pod.
func lineIn(pod string, q watcher.Question) string {
	line := "kubectl -n clairwatch exec " + pod + " -- /clairwatch explain " + q.Namespace
	if q.Name != "" {
		line += "/" + q.Name
	}
	if q.Vulnerability != "" {
		line += " --vulnerability " + quoted(q.Vulnerability)
	}
	return line
}

// quoted writes an argument as a shell takes it.
func quoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:", r)
	}
	if !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// advice is what a refusal says, and how to ask who can answer.
func (r refusal) advice(q watcher.Question) string {
	if r.Leader == "" || len(validation.IsDNS1123Subdomain(r.Leader)) > 0 { // as one that runs outside a cluster
		return r.Error
	}
	return r.Error + ": " + lineIn(r.Leader, q)
}
