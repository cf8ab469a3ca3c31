package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clairwatch/clairwatch/watcher"
)

const (
	// explainPath is where the daemon explains, beside the pages.
	explainPath = "/explain"
	// explainTime is how long an answer may take the daemon, which bounds the reports of it by itself.
	explainTime = 45 * time.Second
)

// explainCommand asks the daemon why something was told, or was not.
func explainCommand() *cobra.Command {
	var flags daemonFlags
	var vulnerability string
	cmd := &cobra.Command{
		Use:   "explain NAMESPACE[/NAME]",
		Short: "Say why the images of a namespace are told of, or are not",
		Long: `explain asks the running daemon about a namespace, or about one pod or workload in it,
as a Deployment: which key of the settings applies, which Scanners hear of it and how
their channels fare; and for each container whether its image is looked at, what came of
that, what was told, what is held back or ignored by which rule, and what waits.

With --vulnerability it says in which containers Clair finds that one, and what each
Scanner did with it: told, held back, ignored by which entry, or about to be told; and
which entries of ignore seem to be about it and are not.

It asks the daemon on the address of the pages (web.listen), which by default only
those reach who are in its pod, with the token of the pages if there is one
(web.tokenFile):

  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop

Which rule holds back what, and where a vulnerability is, is said for 20 images at the
most: of a namespace with more, ask for one workload or pod. All times are in UTC.

It ends with 0 when something runs there, with 2 when nothing does, and with 1 when the
daemon could not be asked, or is not the one that leads.`,
		Example: `  # all of a namespace
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop

  # all pods of a Deployment, or one pod
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop/web
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop/web-7d4f9c6b8-x2x7k

  # why did nobody hear of this one, or why is it not ignored?
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop/web --vulnerability CVE-2023-4911

  # through kubectl port-forward deploy/clairwatch 8081, as JSON
  clairwatch explain --address 127.0.0.1:8081 --output json shop`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want a namespace, or a pod or workload as NAMESPACE/NAME; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	output := outputFlag(cmd)
	flags.define(cmd)
	cmd.Flags().StringVar(&vulnerability, "vulnerability", "", "say what became of the vulnerability of this name, such as CVE-2023-4911")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		namespace, name, both := strings.Cut(args[0], "/")
		q := watcher.Question{Namespace: namespace, Name: name, Vulnerability: vulnerability}
		if err := checkQuestion(q, both, cmd.Flags().Changed("vulnerability")); err != nil {
			return err
		}
		d, err := flags.daemon(cmd, explainLine(q))
		if err != nil {
			return err
		}
		explanation, err := askDaemon(cmd.Context(), d, q)
		switch {
		case err != nil:
			return err
		case explanation.NamesPackage:
			return fmt.Errorf("--vulnerability: %s is a package there; want the name of a vulnerability", printable(vulnerability))
		}
		return writeExplanation(cmd.OutOrStdout(), output.value, explanation)
	}
	return cmd
}

// longestAdvisory is how many letters the name of an advisory has at the most.
const longestAdvisory = 256

// checkQuestion says whether a question can be asked: whether its names are such, and those are there that are to be.
func checkQuestion(q watcher.Question, named, sought bool) error {
	if len(validation.IsDNS1123Label(q.Namespace)) > 0 {
		return fmt.Errorf("%q is no name of a namespace: want at most 63 of a-z, 0-9 and -", printable(q.Namespace))
	}
	if named && len(validation.IsDNS1123Subdomain(q.Name)) > 0 {
		return fmt.Errorf("%q is no name of a pod or workload: want at most 253 of a-z, 0-9, dots and hyphens", printable(q.Name))
	}
	v := q.Vulnerability
	if sought && (strings.TrimSpace(v) != v || v == "" || len(v) > longestAdvisory || strings.ContainsFunc(v, invisible) || !utf8.ValidString(v)) {
		return errors.New("--vulnerability: want the name of one advisory, such as CVE-2023-4911")
	}
	return nil
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
	explain func(context.Context, watcher.Question) (watcher.Explanation, error)
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
	q := watcher.Question{Namespace: query.Get("namespace"), Name: query.Get("name"), Vulnerability: query.Get("vulnerability")}
	if err := checkQuestion(q, q.Name != "", q.Vulnerability != ""); err != nil {
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
	explanation, err := e.explain(ctx, q)
	if err == nil {
		answerJSON(w, http.StatusOK, explanation)
		return
	}
	refused := refusal{Error: "it took too long: ask for one workload or pod"}
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
