package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clairwatch/clairwatch/watcher"
)

const (
	// explainPath is where the daemon explains, beside the pages.
	explainPath = "/explain"
	// explainTime is how long an answer may take the daemon, which bounds the reports of it by itself.
	explainTime = 45 * time.Second
	// explanationLimit bounds an answer, in bytes. The daemon bounds it by the number of containers.
	explanationLimit = 64 << 20
)

// explainCommand asks the daemon why something was told, or was not.
func explainCommand() *cobra.Command {
	var config, address string
	cmd := &cobra.Command{
		Use:   "explain NAMESPACE[/POD]",
		Short: "Say why the images of a namespace are told of, or are not",
		Long: `explain asks the running daemon about a namespace, or about one pod: which key of the
settings applies, which Scanners hear of it and how their channels fare; and for each
container whether its image is looked at, what came of that, what was told, what is
held back or ignored by which rule, and what waits.

It asks the daemon on the address of the pages (web.listen), which by default only
those reach who are in its pod:

  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop

Which rule holds back what is said for 20 images at the most: of a namespace with more,
ask for one pod. All times are in UTC.

It ends with 0 when something runs there, with 2 when nothing does, and with 1 when the
daemon could not be asked, or is not the one that leads.`,
		Example: `  # all of a namespace
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop

  # one pod
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop/web-7d4f9c6b8-x2x7k

  # through kubectl port-forward deploy/clairwatch 8081, as JSON
  clairwatch explain --address 127.0.0.1:8081 --output json shop`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want a namespace, or a pod as NAMESPACE/POD; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	output := outputFlag(cmd)
	cmd.Flags().StringVar(&address, "address", "", "address of the daemon's pages, such as 127.0.0.1:8081 (default: web.listen of the config)")
	configFlag(cmd.Flags(), &config)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		namespace, pod, both := strings.Cut(args[0], "/")
		if err := checkNames(namespace, pod, both); err != nil {
			return err
		}
		if address == "" {
			cfg, err := loadConfig(configPath(config, cmd.Flags()), cmd.Flags(), nil)
			if err != nil {
				return err
			}
			if address, err = addressOfPages(cfg.Web.Listen); err != nil {
				return err
			}
		}
		base, err := readAddress(address)
		if err != nil {
			return err
		}
		explanation, err := askDaemon(cmd.Context(), base, namespace, pod)
		if err != nil {
			return err
		}
		return writeExplanation(cmd.OutOrStdout(), output.value, explanation)
	}
	return cmd
}

// checkNames says whether names are those of a namespace and, if there is to be one, of a pod.
func checkNames(namespace, pod string, both bool) error {
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		return fmt.Errorf("%q is no name of a namespace: want at most 63 of a-z, 0-9 and -", printable(namespace))
	}
	if both && len(validation.IsDNS1123Subdomain(pod)) > 0 {
		return fmt.Errorf("%q is no name of a pod: want at most 253 of a-z, 0-9, dots and hyphens", printable(pod))
	}
	return nil
}

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

// askDaemon asks the daemon at an address.
func askDaemon(ctx context.Context, base *url.URL, namespace, pod string) (watcher.Explanation, error) {
	ctx, cancel := context.WithTimeout(ctx, explainTime+5*time.Second)
	defer cancel()
	doing := "asking the daemon at " + printable(base.String())
	at := base.JoinPath(explainPath)
	query := url.Values{"namespace": {namespace}}
	if pod != "" {
		query.Set("pod", pod)
	}
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return watcher.Explanation{}, fmt.Errorf("%s: %w", doing, err)
	}
	request.Header.Set("User-Agent", userAgent())
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok { // without the address again
			err = failed.Err
		}
		return watcher.Explanation{}, fmt.Errorf("%s: %w; ask where it runs, as with kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain %s",
			doing, err, namespace)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, explanationLimit+1))
	switch {
	case err != nil:
		return watcher.Explanation{}, fmt.Errorf("%s: %w", doing, err)
	case len(body) > explanationLimit:
		return watcher.Explanation{}, fmt.Errorf("%s: the answer has more than %d MiB: ask for one pod", doing, explanationLimit>>20)
	}
	var answer struct {
		watcher.Explanation
		refusal
	}
	err = json.Unmarshal(body, &answer)
	switch {
	case err == nil && answer.Error != "":
		return watcher.Explanation{}, fmt.Errorf("%s: %s", doing, answer.Error)
	case err != nil || response.StatusCode != http.StatusOK || answer.Namespace != namespace:
		return watcher.Explanation{}, fmt.Errorf("%s: what answers there (status %d) is no clairwatch of this version", doing, response.StatusCode)
	}
	return answer.Explanation, nil
}

// refusal is what the daemon answers instead of an Explanation.
type refusal struct {
	// Error says why, and what to do.
	Error string `json:"error"`
	// Leader is the replica to ask instead, where it is known.
	Leader string `json:"leader,omitempty"`
}

// explanations serves what a watcher explains at explainPath, and the pages at all other paths. Both are open to the
// same people.
type explanations struct {
	pages   http.Handler
	explain func(ctx context.Context, namespace, pod string) (watcher.Explanation, error)
	// slots has room for each question that may be answered at a time: an answer costs Clair up to 20 reports.
	slots chan struct{}
}

// explainAtOnce is how many questions are answered at a time.
const explainAtOnce = 2

func newExplanations(w *watcher.Watcher, pages http.Handler) *explanations {
	return &explanations{pages: pages, explain: w.Explain, slots: make(chan struct{}, explainAtOnce)}
}

// ServeHTTP answers a request.
func (e *explanations) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != explainPath {
		e.pages.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		answerJSON(w, http.StatusMethodNotAllowed, refusal{Error: "this can only be read (GET)"})
		return
	}
	query := r.URL.Query()
	namespace, pod := query.Get("namespace"), query.Get("pod")
	if err := checkNames(namespace, pod, pod != ""); err != nil {
		answerJSON(w, http.StatusBadRequest, refusal{Error: err.Error()})
		return
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		w.Header().Set("Retry-After", "5")
		answerJSON(w, http.StatusServiceUnavailable, refusal{Error: "others are asking: ask again in a moment"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), explainTime)
	defer cancel()
	explanation, err := e.explain(ctx, namespace, pod)
	if err == nil {
		answerJSON(w, http.StatusOK, explanation)
		return
	}
	refused := refusal{Error: "it took too long: ask for one pod"}
	if standby, ok := errors.AsType[*watcher.StandbyError](err); ok {
		refused = refusal{Error: err.Error(), Leader: standby.Leader}
	}
	answerJSON(w, http.StatusServiceUnavailable, refused)
}

// answerJSON answers with a document, for nobody to keep or to take for anything else.
func answerJSON(w http.ResponseWriter, status int, document any) {
	var text strings.Builder
	if err := writeJSON(&text, document); err != nil { // none of ours is such
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text.String()) // who does not wait for the answer does not need it
}
