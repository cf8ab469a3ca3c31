package main

import (
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// grant is one verb that is allowed. A star stands for all, as RBAC has it.
type grant struct {
	verb, group string
	// resource has its subresource behind a slash. What begins with one is a path of the API server that is no resource.
	resource string
	name     string // empty: any
}

// anything holds all rights.
var anything = grant{verb: "*", group: "*", resource: "*"}

// holds says whether what a rule grants includes g.
func (rule grant) holds(g grant) bool {
	is := func(rule, asked string) bool { return rule == "*" || rule == asked }
	return is(rule.verb, g.verb) && is(rule.group, g.group) && is(rule.resource, g.resource) && (rule.name == "" || rule.name == g.name)
}

// each calls a function for each verb on each object of a right.
func (r right) each(f func(grant)) {
	names := r.names
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		for _, verb := range r.verbs {
			f(grant{verb, r.group, r.resource, name})
		}
	}
}

// grants says whether a right holds a grant in a namespace.
func (r right) grants(namespace string, g grant) bool {
	return (r.namespace == "" || r.namespace == namespace) && r.group == g.group && r.resource == g.resource &&
		slices.Contains(r.verbs, g.verb) && (len(r.names) == 0 || slices.Contains(r.names, g.name))
}

// everyonesRights are those that Kubernetes grants to each ServiceAccount, by its ClusterRoles system:basic-user,
// system:discovery, system:public-info-viewer, system:service-account-issuer-discovery and
// system:cluster-trust-bundle-discovery (kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go).
func everyonesRights() []right {
	rights := []right{
		{group: "authorization.k8s.io", resource: "selfsubjectaccessreviews", verbs: []string{"create"}},
		{group: "authorization.k8s.io", resource: "selfsubjectrulesreviews", verbs: []string{"create"}},
		{group: "authentication.k8s.io", resource: "selfsubjectreviews", verbs: []string{"create"}},
		{group: "certificates.k8s.io", resource: "clustertrustbundles", verbs: []string{"get", "list", "watch"}},
	}
	for _, path := range [...]string{
		"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/healthz", "/livez", "/readyz", "/version", "/version/",
		"/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/",
	} {
		rights = append(rights, right{resource: path, verbs: []string{"get"}})
	}
	return rights
}

// soughtRights are asked for one by one where the API does not list all that it allows: those that hold all others, that
// read what is secret, or that let somebody run something, become somebody else or get more rights. settings is the name
// of the daemon's own.
func soughtRights(settings string) []right {
	const rbac, admission = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
	get, create, impersonate := []string{"get"}, []string{"create"}, []string{"impersonate"}
	change, write := []string{"update", "patch", "delete"}, []string{"create", "update", "patch"}
	return []right{
		{group: "*", resource: "*", verbs: []string{"*"}},
		{resource: "secrets", verbs: []string{"get", "list", "watch"}},
		{resource: "pods", verbs: []string{"create", "update", "patch", "delete"}},
		{resource: "pods/exec", verbs: []string{"create", "get"}},
		{resource: "pods/attach", verbs: []string{"create", "get"}},
		{resource: "pods/ephemeralcontainers", verbs: []string{"update", "patch"}},
		{resource: "pods/eviction", verbs: create},
		{resource: "pods/log", verbs: get},
		{resource: "nodes", verbs: change},
		{resource: "nodes/proxy", verbs: []string{"create", "get"}},
		{resource: "configmaps", verbs: []string{"list", "create", "update", "patch", "delete"}},
		{resource: "configmaps", names: []string{settings}, verbs: change},
		{resource: "serviceaccounts/token", verbs: create},
		{resource: "users", verbs: impersonate},
		{resource: "groups", verbs: impersonate},
		{resource: "serviceaccounts", verbs: impersonate},
		{group: "apps", resource: "deployments", verbs: write},
		{group: "apps", resource: "daemonsets", verbs: write},
		{group: "apps", resource: "statefulsets", verbs: write},
		{group: "batch", resource: "jobs", verbs: write},
		{group: "batch", resource: "cronjobs", verbs: write},
		{group: rbac, resource: "clusterroles", verbs: []string{"create", "update", "patch", "bind", "escalate"}},
		{group: rbac, resource: "clusterrolebindings", verbs: write},
		{group: rbac, resource: "roles", verbs: []string{"create", "update", "patch", "bind", "escalate"}},
		{group: rbac, resource: "rolebindings", verbs: write},
		{group: admission, resource: "validatingadmissionpolicies", verbs: change},
		{group: admission, resource: "validatingadmissionpolicybindings", verbs: change},
		{group: admission, resource: "mutatingwebhookconfigurations", verbs: write},
	}
}

// grantsOf takes rules apart.
func grantsOf(status authorizationv1.SubjectRulesReviewStatus) map[grant]bool {
	all := make(map[grant]bool)
	note := func(g grant) { all[g] = true }
	for _, rule := range status.ResourceRules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				right{group: group, resource: resource, names: rule.ResourceNames, verbs: rule.Verbs}.each(note)
			}
		}
	}
	for _, rule := range status.NonResourceRules {
		for _, path := range rule.NonResourceURLs {
			right{resource: "/" + strings.TrimPrefix(path, "/"), verbs: rule.Verbs}.each(note) // also where it is a star
		}
	}
	return all
}

// harm says how much can be done by some verbs: 2 where it is no telling, 1 where something can be changed or secrets
// read, 0 where it is only reading.
func harm(verbs []string, g grant) int {
	only := func(verb string) bool { return verb == "get" || verb == "list" || verb == "watch" }
	switch {
	case slices.Contains(verbs, "*") || strings.HasPrefix(g.resource, "*"):
		return 2
	case g.resource == "secrets" || slices.ContainsFunc(verbs, func(verb string) bool { return !only(verb) }):
		return 1
	}
	return 0
}

// thing is what a grant is about, as kubectl names it.
func (g grant) thing() string {
	resource, name := g.resource, ""
	if g.name != "" {
		name = " " + g.name
	}
	switch {
	case g.resource == "*" && g.group == "*":
		resource = "everything"
	case g.resource == "*" && g.group == "":
		resource = "everything of the core API"
	case g.resource == "*":
		resource = "everything of " + g.group
	case g.group == "*":
		resource += " of any API group"
	case g.group != "":
		resource += "." + g.group
	}
	return resource + name
}
