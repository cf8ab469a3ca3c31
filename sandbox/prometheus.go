package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"
)

// ErrNoPrometheus says that Debian's prometheus is not there and cannot be had: it is
// neither in PATH nor to be downloaded by apt-get.
var ErrNoPrometheus = errors.New("no prometheus and promtool found in PATH: install them, on Debian and Ubuntu by: apt-get install prometheus")

const (
	// prometheusBound is the longest that one question to Prometheus may take, and
	// prometheusLimit how many bytes an answer may have.
	prometheusBound = 10 * time.Second
	prometheusLimit = 16 << 20
)

func debianPrometheus() debianPackage {
	return debianPackage{name: "prometheus", programs: []string{"prometheus", "promtool"}, missing: ErrNoPrometheus}
}

// FetchPrometheus makes sure that Debian's prometheus is there, without starting
// anything, as [FetchDockerRegistry] does. An error that is [ErrNoPrometheus] says that
// there is none. log may be nil.
func FetchPrometheus(ctx context.Context, log func(format string, args ...any)) error {
	if log == nil {
		log = func(string, ...any) {}
	}
	_, err := debianPrometheus().find(ctx, log)
	return err
}

// Promtool runs Debian's promtool and returns what it says. It is an error if that does
// not end well; the output is there all the same.
func Promtool(ctx context.Context, args ...string) (string, error) {
	programs, err := debianPrometheus().find(ctx, func(string, ...any) {})
	if err != nil {
		return "", err
	}
	output, err := exec.CommandContext(ctx, programs["promtool"], args...).CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("running promtool %s: %w", args[0], err)
	}
	return string(output), nil
}

// Prometheus is Debian's, which scrapes one daemon every second and looks as often
// whether an alert fires.
type Prometheus struct {
	*Process

	URL string // without a slash at the end
}

// AddPrometheus starts a Prometheus that scrapes what is at an address (host:port) and
// has the rules of a file. It is fetched where it is not there, as by [FetchPrometheus].
func (s *Sandbox) AddPrometheus(ctx context.Context, target, rules string) (*Prometheus, error) {
	programs, err := debianPrometheus().find(ctx, s.log)
	if err != nil {
		return nil, err
	}
	address, err := s.ports.address()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, "prometheus")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for Prometheus: %w", err)
	}
	type object = map[string]any
	text, err := yaml.Marshal(object{
		"global":     object{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files": []string{rules},
		"scrape_configs": []object{{
			"job_name": "clairwatch", "honor_labels": true,
			"static_configs": []object{{"targets": []string{target}}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("writing Prometheus' configuration: %w", err)
	}
	path := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing Prometheus' configuration: %w", err)
	}
	p := &Prometheus{URL: "http://" + address}
	p.Process, err = s.run(ctx, spec{
		name: "prometheus",
		path: programs["prometheus"],
		args: []string{
			"--config.file=" + path, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address,
		},
		dir:   dir,
		ready: answersOK(p.URL + "/-/ready"),
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Alert is one that a rule has found: it fires, or will when it goes on.
type Alert struct {
	State  string            `json:"state"` // "firing" or "pending"
	Labels map[string]string `json:"labels"`
	// Annotations are its texts, with the values of labels in them.
	Annotations map[string]string `json:"annotations"`
}

// Alerts returns those that there are now.
func (p *Prometheus) Alerts(ctx context.Context) ([]Alert, error) {
	var found struct {
		Alerts []Alert `json:"alerts"`
	}
	if err := p.ask(ctx, "/api/v1/alerts", &found); err != nil {
		return nil, fmt.Errorf("asking Prometheus for alerts: %w", err)
	}
	return found.Alerts, nil
}

// Evaluated returns when all rules were last looked at; zero before the first time.
func (p *Prometheus) Evaluated(ctx context.Context) (time.Time, error) {
	var found struct {
		Groups []struct {
			LastEvaluation time.Time `json:"lastEvaluation"`
		} `json:"groups"`
	}
	if err := p.ask(ctx, "/api/v1/rules", &found); err != nil {
		return time.Time{}, fmt.Errorf("asking Prometheus for its rules: %w", err)
	}
	var first time.Time
	for i, g := range found.Groups {
		if i == 0 || g.LastEvaluation.Before(first) {
			first = g.LastEvaluation
		}
	}
	return first, nil
}

// Query returns how many series a query in PromQL has now.
func (p *Prometheus) Query(ctx context.Context, query string) (int, error) {
	var found struct {
		Result []json.RawMessage `json:"result"`
	}
	if err := p.ask(ctx, "/api/v1/query?query="+url.QueryEscape(query), &found); err != nil {
		return 0, fmt.Errorf("asking Prometheus %s: %w", query, err)
	}
	return len(found.Result), nil
}

// ask decodes what Prometheus answers.
func (p *Prometheus) ask(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, prometheusBound)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, prometheusLimit+1))
	if err != nil {
		return err
	}
	if len(body) > prometheusLimit {
		return fmt.Errorf("the answer has more than %d bytes", prometheusLimit)
	}
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("it answered %s: %w", response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("it answered %s: %s", response.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}
