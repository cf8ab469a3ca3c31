package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/watcher"
)

const (
	// beyond is what rows about rights are called that the daemon has no use for.
	beyond = "rights beyond that"
	// mostExcess bounds these rows, and mostOfExcess what one of them names: who may do a lot has many rights.
	mostExcess   = 10
	mostOfExcess = 8
)

// excess is what the daemon may do and need not.
type excess struct {
	// in has the namespaces of each grant; none: the whole cluster.
	in map[grant][]string
	// namespaces are those that were asked about.
	namespaces []string
	// unlisted is why there may be more; empty: all that is allowed there was listed.
	unlisted string
}

// checkExcess has a row for each kind of right that the daemon should not have. account is whose rights these are: a
// ServiceAccount, behind its namespace and a colon.
func (c cluster) checkExcess(ctx context.Context, cfg Config, account string) []row {
	found, err := c.findExcess(ctx, cfg)
	if err != nil {
		return []row{{beyond, isProblem, "the API does not say: " + err.Error()}}
	}
	rows := c.checkOptIns(ctx, found)
	warnings := found.rows() // of what is left then
	rows = append(rows, warnings...)
	if len(warnings) > 0 {
		who := strings.Replace(account, ":", "[/:]", 1) + "|system:(serviceaccounts|authenticated)"
		rows = append(rows, row{beyond, isInfo, "what may grant that: kubectl get clusterrolebindings,rolebindings -A -o wide | grep -E '" + who + "'"})
	}
	switch {
	case len(rows) == 0 && found.unlisted == "":
		return []row{{beyond, isOK, "none in the cluster, nor in the namespaces " + strings.Join(found.namespaces, ", ")}}
	case len(rows) == 0:
		return []row{{beyond, isOK, "none of those that are looked for; " + found.unlisted}}
	case found.unlisted != "":
		rows = append(rows, row{beyond, isInfo, "there may be more: " + found.unlisted})
	}
	return rows
}

// findExcess asks the API for all that is allowed in some namespaces, which includes what is allowed in the whole cluster,
// and takes off what is needed.
func (c cluster) findExcess(ctx context.Context, cfg Config) (excess, error) {
	cfg.LeaderElection.Enabled = true // the manifest grants it in any case
	needed := append(neededRights(cfg, c.namespace), everyonesRights()...)
	// Which other namespaces there are the daemon may not ask.
	namespaces := []string{c.namespace, metav1.NamespaceDefault, metav1.NamespaceSystem}
	slices.Sort(namespaces)
	found := excess{in: make(map[grant][]string), namespaces: slices.Compact(namespaces)}
	granted := make(map[grant]int) // in how many namespaces
	for _, namespace := range found.namespaces {
		status, err := c.rules(ctx, namespace)
		if err != nil {
			return excess{}, err
		}
		if status.Incomplete || status.EvaluationError != "" {
			found.unlisted = "the API does not list all that it allows"
			if status.EvaluationError != "" {
				found.unlisted += ": " + status.EvaluationError
			}
		}
		for g := range grantsOf(status) {
			granted[g]++
			if !slices.ContainsFunc(needed, func(r right) bool { return r.grants(namespace, g) }) {
				found.in[g] = append(found.in[g], namespace)
			}
		}
	}
	for g := range found.in {
		if granted[g] == len(found.namespaces) {
			found.in[g] = nil
		}
	}
	if found.unlisted != "" {
		if err := c.seek(ctx, cfg, needed, found); err != nil {
			return excess{}, err
		}
	}
	if found.allows(anything, "") {
		found.in = map[grant][]string{anything: nil}
	}
	return found, nil
}

// rules asks for all that is allowed in a namespace.
func (c cluster) rules(ctx context.Context, namespace string) (authorizationv1.SubjectRulesReviewStatus, error) {
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	answer, err := c.client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return authorizationv1.SubjectRulesReviewStatus{}, err
	}
	return answer.Status, nil
}

// allows says whether something is allowed in a namespace by a grant that was found; an empty one stands for all.
func (e excess) allows(g grant, namespace string) bool {
	for rule, in := range e.in {
		if rule.holds(g) && (in == nil || slices.Contains(in, namespace)) {
			return true
		}
	}
	return false
}

// seek asks for each of soughtRights that is not found yet, in the whole cluster and in the daemon's namespace.
func (c cluster) seek(ctx context.Context, cfg Config, needed []right, found excess) error {
	var sought []grant
	for _, r := range soughtRights(cfg.Settings) {
		r.each(func(g grant) {
			if !slices.ContainsFunc(needed, func(r right) bool { return r.grants("", g) }) {
				sought = append(sought, g)
			}
		})
	}
	type answer struct {
		grant
		in  []string
		err error
	}
	for _, a := range inOrder(sought, func(g grant) []answer {
		for _, namespace := range [...]string{"", c.namespace} {
			if found.allows(g, namespace) {
				return nil
			}
			resource, subresource, _ := strings.Cut(g.resource, "/")
			allowed, err := c.allows(ctx, authorizationv1.ResourceAttributes{
				Verb: g.verb, Group: g.group, Resource: resource, Subresource: subresource, Namespace: namespace, Name: g.name,
			})
			switch {
			case err != nil:
				return []answer{{err: err}}
			case allowed && namespace == "":
				return []answer{{grant: g}}
			case allowed:
				return []answer{{grant: g, in: []string{namespace}}}
			}
		}
		return nil
	}) {
		if a.err != nil {
			return a.err
		}
		found.in[a.grant] = a.in
	}
	return nil
}

// checkOptIns has rows about what files of deploy grant to whoever wants it, and takes that off what was found.
func (c cluster) checkOptIns(ctx context.Context, found excess) []row {
	var rows []row
	for g := range found.in {
		if g.verb == "get" && g.group == "" && g.resource == "secrets" && g.name != "" { // as deploy/pull-secrets-namespace.yaml has it
			delete(found.in, g)
		}
	}
	secrets, pods := grant{verb: "get", resource: "secrets"}, grant{verb: patchPods.Verb, resource: patchPods.Resource}
	if in, ok := found.in[secrets]; ok && in == nil {
		delete(found.in, secrets)
		rows = append(rows, row{beyond, isInfo, "it may get any Secret, as deploy/pull-secrets-cluster.yaml grants it"})
	}
	if _, ok := found.in[pods]; !ok {
		return rows
	}
	switch err := c.confinement(ctx); {
	case err == nil:
		delete(found.in, pods)
		rows = append(rows, row{beyond, isInfo, "it may annotate pods, as " + annotateFile + " grants and confines it, and does not: annotatePods is false"})
	case !errors.Is(err, watcher.ErrUnconfined):
		delete(found.in, pods)
		rows = append(rows, row{beyond, isWarning, "it may patch pods, and does not: annotatePods is false; it cannot be tried whether that is confined as " + annotateFile + " has it: " + err.Error()})
	}
	return rows
}

// rows has one for each kind of right: what may be done with all of the same things. What can do most harm comes first.
func (e excess) rows() []row {
	type thing struct{ group, resource, name, in string }
	verbs := make(map[thing][]string)
	for g, in := range e.in {
		t := thing{g.group, g.resource, g.name, strings.Join(in, ", ")}
		verbs[t] = append(verbs[t], g.verb)
	}
	type kind struct {
		harm         int
		verbs, where string
	}
	things := make(map[kind][]string)
	for t, may := range verbs {
		g := grant{group: t.group, resource: t.resource, name: t.name}
		k := kind{harm: harm(may, g), verbs: strings.Join(slices.Sorted(slices.Values(may)), ", "), where: "in the cluster"}
		what := g.thing()
		switch {
		case slices.Contains(may, "*") && g.group == "*" && g.resource == "*" && g.name == "":
			k.verbs, what = "do anything", ""
		case slices.Contains(may, "*"):
			k.verbs = "do anything to"
		}
		switch {
		case strings.Contains(t.in, ","):
			k.where = "in the namespaces " + t.in
		case t.in != "":
			k.where = "in the namespace " + t.in
		}
		things[k] = append(things[k], what)
	}
	var rows []row
	for _, k := range slices.SortedFunc(maps.Keys(things), func(a, b kind) int {
		return cmp.Or(cmp.Compare(b.harm, a.harm), cmp.Compare(a.verbs, b.verbs), cmp.Compare(a.where, b.where))
	}) {
		what := slices.Sorted(slices.Values(things[k]))
		if more := len(what) - mostOfExcess; more > 0 {
			what = append(what[:mostOfExcess], fmt.Sprintf("%d more", more))
		}
		may := strings.TrimSuffix("it may "+k.verbs+" "+strings.Join(what, ", "), " ")
		rows = append(rows, row{beyond, isWarning, may + " " + k.where + ": take that away"})
	}
	if more := len(rows) - mostExcess; more > 0 {
		rows = append(rows[:mostExcess], row{beyond, isWarning, fmt.Sprintf("it may do %d more such things: take that away", more)})
	}
	return rows
}
