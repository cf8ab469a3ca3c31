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

	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/watcher"
)

const (
	// beyond is what rows about rights are called that the daemon has no use for.
	beyond = "rights beyond that"
	// mostExcess bounds these rows, and mostOfExcess what one of them names: who may do a lot has many rights.
	mostExcess   = 10
	mostOfExcess = 8
	// mostNamespaces bounds those that are asked about, each in a request of its own.
	mostNamespaces = 50
)

// excess is what the daemon may do and need not.
type excess struct {
	// in has the namespaces of each grant; none: the whole cluster.
	in map[grant][]string
	// namespaces are those that were asked about, and notAsked how many of the settings were not.
	namespaces []string
	notAsked   int
	// unlisted is why there may be more; empty: all that is allowed there was listed.
	unlisted string
}

// checkExcess has a row for each kind of right that the daemon should not have, and says where it has looked. account is
// whose rights these are: a ServiceAccount, behind its namespace and a colon.
func (c cluster) checkExcess(ctx context.Context, cfg Config, account string, watched settingsFound) []row {
	found, err := c.findExcess(ctx, cfg, watched.namespaces)
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
	where := found.where(watched.others)
	switch {
	case len(rows) == 0 && found.unlisted == "":
		return []row{{beyond, isOK, "none in the cluster, nor in " + where}}
	case len(rows) == 0:
		rows = append(rows, row{beyond, isOK, "none of those that are looked for in the cluster, nor in " + where})
	case len(warnings) == 0:
		rows = append(rows, row{beyond, isInfo, "nothing else in the cluster, nor in " + where})
	default:
		rows = append(rows, row{beyond, isInfo, "looked at: the cluster and " + where})
	}
	if found.unlisted != "" {
		rows = append(rows, row{beyond, isInfo, fmt.Sprintf("there may be more: %s; what does most harm was asked for one by one, in the cluster and in the namespace %s", found.unlisted, c.namespace)})
	}
	return rows
}

// where names the namespaces that were asked about, and says which were not; others says that the settings are for
// namespaces that they do not name, too.
func (e excess) where(others bool) string {
	said := fmt.Sprintf("the %s %s; others were not looked at", counted(len(e.namespaces), "namespace"), someOf(e.namespaces))
	if e.notAsked > 0 {
		said += fmt.Sprintf(", %d of the settings among them", e.notAsked)
	}
	if others {
		said += ", and which of them " + settings.AllKey + " watches is not known here"
	}
	return said
}

// someOf names the first few of some things, and how many more there are.
func someOf(things []string) string {
	if more := len(things) - mostOfExcess; more > 0 {
		things = append(slices.Clone(things[:mostOfExcess]), fmt.Sprintf("%d more", more))
	}
	return strings.Join(things, ", ")
}

// findExcess asks the API for all that is allowed in some namespaces, which includes what is allowed in the whole cluster,
// and takes off what is needed. watched are the namespaces of the settings.
func (c cluster) findExcess(ctx context.Context, cfg Config, watched []string) (excess, error) {
	cfg.LeaderElection.Enabled = true // the manifest grants it in any case
	needed := append(neededRights(cfg, c.namespace), everyonesRights()...)
	// Which further namespaces there are the daemon may not ask.
	namespaces := []string{c.namespace, metav1.NamespaceDefault, metav1.NamespaceSystem}
	slices.Sort(namespaces)
	namespaces = slices.Compact(namespaces)
	watched = slices.DeleteFunc(slices.Clone(watched), func(namespace string) bool { return slices.Contains(namespaces, namespace) })
	asked := min(len(watched), mostNamespaces-len(namespaces))
	namespaces = slices.Concat(namespaces, watched[:asked])
	slices.Sort(namespaces)
	found := excess{in: make(map[grant][]string), namespaces: namespaces, notAsked: len(watched) - asked}
	type answer struct {
		namespace string
		status    authorizationv1.SubjectRulesReviewStatus
		err       error
	}
	granted := make(map[grant]int) // in how many namespaces
	for _, a := range inOrder(found.namespaces, func(namespace string) []answer {
		status, err := c.rules(ctx, namespace)
		return []answer{{namespace, status, err}}
	}) {
		if a.err != nil {
			return excess{}, a.err
		}
		if a.status.Incomplete || a.status.EvaluationError != "" {
			found.unlisted = "the API does not list all that it allows"
			if a.status.EvaluationError != "" {
				found.unlisted += ": " + a.status.EvaluationError
			}
		}
		for g := range grantsOf(a.status) {
			granted[g]++
			if !slices.ContainsFunc(needed, func(r right) bool { return r.grants(a.namespace, g) }) {
				found.in[g] = append(found.in[g], a.namespace)
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
	var named []string
	for g, in := range found.in {
		if g.verb == "get" && g.group == "" && g.resource == "secrets" && g.name != "" {
			delete(found.in, g)
			named = append(named, g.name+" in "+cmp.Or(strings.Join(in, ", "), "any namespace"))
		}
	}
	if slices.Sort(named); len(named) > 0 {
		rows = append(rows, row{beyond, isInfo, "it may get the Secrets " + someOf(named) + ", as deploy/pull-secrets-namespace.yaml grants those that hold pull secrets"})
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
		harm      int
		verbs, in string
	}
	things := make(map[kind][]string)
	for t, may := range verbs {
		g := grant{group: t.group, resource: t.resource, name: t.name}
		k := kind{harm: harm(may, g), verbs: strings.Join(slices.Sorted(slices.Values(may)), ", "), in: t.in}
		what := g.thing()
		switch {
		case slices.Contains(may, "*") && g.group == "*" && g.resource == "*" && g.name == "":
			k.verbs, what = "do anything", ""
		case slices.Contains(may, "*"):
			k.verbs = "do anything to"
		}
		things[k] = append(things[k], what)
	}
	var rows []row
	for _, k := range slices.SortedFunc(maps.Keys(things), func(a, b kind) int {
		return cmp.Or(cmp.Compare(b.harm, a.harm), cmp.Compare(a.verbs, b.verbs), cmp.Compare(a.in, b.in))
	}) {
		where := "in the cluster"
		switch in := strings.Split(k.in, ", "); {
		case len(in) > 1:
			where = "in the namespaces " + someOf(in)
		case k.in != "":
			where = "in the namespace " + k.in
		}
		may := strings.TrimSuffix("it may "+k.verbs+" "+someOf(slices.Sorted(slices.Values(things[k]))), " ")
		rows = append(rows, row{beyond, isWarning, may + " " + where + ": take that away"})
	}
	if more := len(rows) - mostExcess; more > 0 {
		rows = append(rows[:mostExcess], row{beyond, isWarning, fmt.Sprintf("it may do %d more such things: take that away", more)})
	}
	return rows
}
