package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clairwatch/clairwatch/watcher"
)

// askDaemon asks a daemon to explain.
func askDaemon(ctx context.Context, d runningDaemon, q watcher.Question) (watcher.Explanation, error) {
	ctx, cancel := context.WithTimeout(ctx, explainTime+5*time.Second)
	defer cancel()
	query := url.Values{"namespace": {q.Namespace}}
	if q.Name != "" {
		query.Set("name", q.Name)
	}
	if q.Vulnerability != "" {
		query.Set("vulnerability", q.Vulnerability)
	}
	response, body, err := d.fetch(ctx, http.MethodGet, explainPath, query, nil)
	if err != nil {
		return watcher.Explanation{}, fmt.Errorf("%s: %w", d.asking(), d.unreachable(err))
	}
	var answer struct {
		watcher.Explanation
		refusal
	}
	err = json.Unmarshal(body, &answer)
	switch {
	case err == nil && answer.Error != "" && response.StatusCode == http.StatusUnauthorized:
		return watcher.Explanation{}, fmt.Errorf("%s: %w", d.asking(), d.wantsToken())
	case err == nil && answer.Error != "":
		return watcher.Explanation{}, fmt.Errorf("%s: %s", d.asking(), answer.advice(d))
	case err != nil || response.StatusCode != http.StatusOK || answer.Namespace != q.Namespace || answer.Vulnerability != q.Vulnerability:
		return watcher.Explanation{}, fmt.Errorf("%s: %w", d.asking(), d.stranger(response, body))
	}
	return answer.Explanation, nil
}

// explainLine is the command that asks a question.
func explainLine(q watcher.Question) string {
	line := "explain " + q.Namespace
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
func (r refusal) advice(d runningDaemon) string {
	if r.Leader == "" || len(validation.IsDNS1123Subdomain(r.Leader)) > 0 { // as one that runs outside a cluster
		return r.Error
	}
	return r.Error + ": " + d.lineIn(r.Leader)
}
