package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// rule is one of RBAC.
func rule(verbs, group, resources string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: strings.Fields(verbs), APIGroups: []string{group}, Resources: strings.Fields(resources), ResourceNames: names}
}

// TestCheckExcess has what is said of rights that somebody has granted.
func TestCheckExcess(t *testing.T) {
	const (
		incomplete     = "webhook authorizer does not support user rule resolution"
		unlisted       = "the API does not list all that it allows: " + incomplete
		hint           = "info what may grant that: kubectl get clusterrolebindings,rolebindings -A -o wide | grep -E 'clairwatch[/:]clairwatch|system:(serviceaccounts|authenticated)'"
		others         = "; others were not looked at"
		places         = "the 3 namespaces clairwatch, default, kube-system" + others
		none           = "ok none in the cluster, nor in " + places
		pullSecret     = "info it may get the Secrets "
		pullSecretFile = ", as deploy/pull-secrets-namespace.yaml grants those that hold pull secrets"
		noneElse       = "info nothing else in the cluster, nor in " + places
		scope          = "info looked at: the cluster and " + places
		more           = "info there may be more: " + unlisted + "; what does most harm was asked for one by one, in the cluster and in the namespace clairwatch"
		exec           = "WARNING it may create pods/exec in the namespace shop: take that away"
		withShop       = "the 4 namespaces clairwatch, default, kube-system, shop" + others
		ofAll          = ", and which of them _all watches is not known here"
	)
	warning := func(may string) []string { return []string{"WARNING it may " + may + ": take that away", hint, scope} }
	names := func(n int) []string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("n%03d", i))
		}
		return all
	}
	execs := []rbacv1.PolicyRule{rule("create", "", "pods/exec")}
	var many []rbacv1.PolicyRule
	var manyRows []string
	for n := range mostExcess + 3 {
		verb, thing := fmt.Sprintf("verb-%c", 'a'+n), fmt.Sprintf("things-%c", 'a'+n)
		many = append(many, rule("get", "", "harmless"), rule(verb, "", thing))
		if n < mostExcess {
			manyRows = append(manyRows, "WARNING it may "+verb+" "+thing+" in the cluster: take that away")
		}
	}
	type asked = authorizationv1.ResourceAttributes
	for name, c := range map[string]struct {
		everywhere, here, inDefault []rbacv1.PolicyRule // what is granted beside the manifest
		inWatched                   []rbacv1.PolicyRule // what is granted in each of the namespaces of the settings
		watched                     settingsFound
		// allows is what a webhook allows, which lists nothing; nil: there is none.
		allows func(asked) bool
		config func(*Config)
		want   []string
	}{
		"nothing": {want: []string{none}},

		"pods/exec":           {everywhere: []rbacv1.PolicyRule{rule("create", "", "pods/exec")}, want: warning("create pods/exec in the cluster")},
		"deployments":         {everywhere: []rbacv1.PolicyRule{rule("create", "apps", "deployments")}, want: warning("create deployments.apps in the cluster")},
		"clusterrolebindings": {everywhere: []rbacv1.PolicyRule{rule("create", rbacv1.GroupName, "clusterrolebindings")}, want: warning("create clusterrolebindings.rbac.authorization.k8s.io in the cluster")},
		"impersonate":         {everywhere: []rbacv1.PolicyRule{rule("impersonate", "", "users")}, want: warning("impersonate users in the cluster")},
		"nodes":               {everywhere: []rbacv1.PolicyRule{rule("update", "", "nodes")}, want: warning("update nodes in the cluster")},
		"configmaps":          {everywhere: []rbacv1.PolicyRule{rule("update", "", "configmaps")}, want: warning("update configmaps in the cluster")},
		"its own settings":    {here: []rbacv1.PolicyRule{rule("update", "", "configmaps", "clairwatch")}, want: warning("update configmaps clairwatch in the namespace clairwatch")},

		"by a Role":        {here: []rbacv1.PolicyRule{rule("update get", "", "configmaps")}, want: warning("get, update configmaps in the namespace clairwatch")},
		"by two Roles":     {here: []rbacv1.PolicyRule{rule("delete", "", "pods")}, inDefault: []rbacv1.PolicyRule{rule("delete", "", "pods")}, want: warning("delete pods in the namespaces clairwatch, default")},
		"needed elsewhere": {inDefault: []rbacv1.PolicyRule{rule("create", "", "events")}, want: warning("create events in the namespace default")},
		"everywhere what is needed here": {everywhere: []rbacv1.PolicyRule{rule("create", "", "events")},
			want: warning("create events in the cluster")},
		"all names of what is needed by name": {here: []rbacv1.PolicyRule{rule("list", "", "configmaps")}, want: warning("list configmaps in the namespace clairwatch")},
		"without leader election":             {config: func(c *Config) { c.LeaderElection.Enabled = false }, want: []string{none}},

		"a pull secret":       {inDefault: []rbacv1.PolicyRule{rule("get", "", "secrets", "regcred")}, want: []string{pullSecret + "regcred in default" + pullSecretFile, noneElse}},
		"secrets by name":     {everywhere: []rbacv1.PolicyRule{rule("get", "", "secrets", "clairwatch", "a")}, want: []string{pullSecret + "a in any namespace, clairwatch in any namespace" + pullSecretFile, noneElse}},
		"all pull secrets":    {everywhere: []rbacv1.PolicyRule{rule("get", "", "secrets")}, want: []string{"info it may get any Secret, as deploy/pull-secrets-cluster.yaml grants it", noneElse}},
		"secrets of a place":  {inDefault: []rbacv1.PolicyRule{rule("get", "", "secrets")}, want: warning("get secrets in the namespace default")},
		"to change a secret":  {inDefault: []rbacv1.PolicyRule{rule("update", "", "secrets", "regcred")}, want: warning("update secrets regcred in the namespace default")},
		"to list all secrets": {everywhere: []rbacv1.PolicyRule{rule("list watch", "", "secrets")}, want: warning("list, watch secrets in the cluster")},
		"a path":              {everywhere: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics", "/version"}, Verbs: []string{"get"}}}, want: warning("get /metrics in the cluster")},
		"all verbs":           {everywhere: []rbacv1.PolicyRule{rule("* get", "", "pods nodes")}, want: warning("do anything to nodes, pods in the cluster")},
		"all of a group":      {everywhere: []rbacv1.PolicyRule{rule("get", "apps", "*")}, want: warning("get everything of apps in the cluster")},
		"to read everything":  {everywhere: []rbacv1.PolicyRule{rule("get list watch", "*", "*")}, want: warning("get, list, watch everything in the cluster")},
		"anything":            {everywhere: []rbacv1.PolicyRule{rule("*", "*", "*"), rule("get", "", "secrets"), {NonResourceURLs: []string{"*"}, Verbs: []string{"*"}}}, want: warning("do anything in the cluster")},
		"anything here":       {here: []rbacv1.PolicyRule{rule("*", "*", "*")}, want: warning("do anything in the namespace clairwatch")},
		"many of a kind": {everywhere: []rbacv1.PolicyRule{rule("delete", "", "k j i h g f e d c b a")},
			want: warning("delete a, b, c, d, e, f, g, h, 3 more in the cluster")},
		"many": {everywhere: many, want: append(manyRows, "WARNING it may do 4 more such things: take that away", hint, scope)},

		"nothing, as far as asked": {allows: func(asked) bool { return false }, want: []string{"ok none of those that are looked for in the cluster, nor in " + places, more}},
		"by a webhook": {allows: func(a asked) bool { return a.Resource == "pods" && a.Subresource == "exec" && a.Verb == "create" },
			want: append(warning("create pods/exec in the cluster"), more)},
		"by a webhook, here": {allows: func(a asked) bool { return a.Resource == "users" && a.Namespace == "clairwatch" },
			want: append(warning("impersonate users in the namespace clairwatch"), more)},
		"by a webhook, its settings": {allows: func(a asked) bool { return a.Resource == "configmaps" && a.Name == "clairwatch" && a.Verb == "update" },
			want: append(warning("update configmaps clairwatch in the cluster"), more)},
		"by a webhook, all": {allows: func(asked) bool { return true }, want: append(warning("do anything in the cluster"), more)},
		"by a webhook, what is opt-in": {allows: func(a asked) bool { return a.Resource == "secrets" && a.Verb == "get" },
			want: []string{"info it may get any Secret, as deploy/pull-secrets-cluster.yaml grants it", noneElse, more}},
		"by both": {everywhere: []rbacv1.PolicyRule{rule("*", "", "nodes")}, allows: func(a asked) bool { return a.Resource == "nodes" && a.Subresource == "" },
			want: append(warning("do anything to nodes in the cluster"), more)},

		"in a watched namespace":             {inWatched: execs, watched: settingsFound{namespaces: []string{"shop"}}, want: []string{exec, hint, "info looked at: the cluster and " + withShop}},
		"of a namespace that nobody watches": {inWatched: execs, want: []string{none}},
		"nothing in a watched namespace":     {watched: settingsFound{namespaces: []string{"clairwatch", "shop"}}, want: []string{"ok none in the cluster, nor in " + withShop}},
		"a pull secret of a watched namespace": {inWatched: []rbacv1.PolicyRule{rule("get", "", "secrets", "regcred")}, watched: settingsFound{namespaces: []string{"shop"}},
			want: []string{pullSecret + "regcred in shop" + pullSecretFile, "info nothing else in the cluster, nor in " + withShop}},
		"for all": {watched: settingsFound{others: true}, want: []string{none + ofAll}},
		"as many as are asked about": {watched: settingsFound{namespaces: names(47)}, want: []string{
			"ok none in the cluster, nor in the 50 namespaces clairwatch, default, kube-system, n000, n001, n002, n003, n004, 42 more" + others}},
		"more than are asked about": {inWatched: execs, watched: settingsFound{namespaces: names(60), others: true}, want: []string{
			"WARNING it may create pods/exec in the namespaces n000, n001, n002, n003, n004, n005, n006, n007, 39 more: take that away", hint,
			"info looked at: the cluster and the 50 namespaces clairwatch, default, kube-system, n000, n001, n002, n003, n004, 42 more" + others + ", 13 of the settings among them" + ofAll}},
		"in a watched namespace, beside a webhook": {inWatched: execs, watched: settingsFound{namespaces: []string{"shop"}}, allows: func(asked) bool { return false },
			want: []string{exec, hint, "info looked at: the cluster and " + withShop, more}},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			list := listed(t, []string{manifestOf}, c.everywhere...)
			api := &apiStand{t: t, user: daemon, allows: func(a asked) bool { return c.allows != nil && c.allows(a) },
				lists: func(namespace string) authorizationv1.SubjectRulesReviewStatus {
					requests.Add(1)
					status := list(namespace)
					rules := map[string][]rbacv1.PolicyRule{"clairwatch": c.here, "default": c.inDefault}[namespace]
					if namespace == "shop" || strings.HasPrefix(namespace, "n0") {
						rules = c.inWatched
					}
					more := statusOf(rules)
					status.ResourceRules = append(status.ResourceRules, more.ResourceRules...)
					if c.allows != nil {
						status.Incomplete, status.EvaluationError = true, incomplete
					}
					return status
				}}
			cfg := defaults()
			cfg.Kubeconfig, cfg.Namespace = api.kubeconfig(t), "clairwatch"
			if c.config != nil {
				c.config(&cfg)
			}
			cluster := (&checkup{cfg: cfg}).connect()
			if cluster.err != nil {
				t.Fatal(cluster.err)
			}
			var got []string
			for _, r := range cluster.checkExcess(t.Context(), cfg, "clairwatch:clairwatch", c.watched) {
				if r.What != beyond {
					t.Errorf("a row about %s", r.What)
				}
				is := string(r.Outcome)
				if r.Outcome == isWarning {
					is = "WARNING"
				}
				got = append(got, is+" "+r.Found)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if n := requests.Load(); n > mostNamespaces {
				t.Errorf("%d namespaces were asked about", n)
			}
		})
	}
}
