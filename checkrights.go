package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/clairwatch/clairwatch/ledger"
)

// cluster is the Kubernetes API.
type cluster struct {
	client    kubernetes.Interface
	namespace string // of the settings
	err       error  // why there is no client; nil when there is
}

// connect makes the client, which asks nothing yet.
func (c *checkup) connect() cluster {
	rest, namespace, err := kubernetesConfig(c.cfg)
	if err != nil {
		return cluster{err: err}
	}
	rest.QPS = -1 // each right is a request of its own
	rest.Timeout = checkTime
	rest.Impersonate.UserName = c.options.as
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return cluster{err: fmt.Errorf("making the Kubernetes client: %w", err)}
	}
	return cluster{client: client, namespace: namespace}
}

// right is what a rule of deploy/clairwatch.yaml grants, and what it is for.
type right struct {
	what            string
	group, resource string
	namespace       string   // empty: all
	names           []string // empty: any
	verbs           []string
}

// neededRights are those that the daemon cannot do without: the rules of deploy/clairwatch.yaml.
func neededRights(cfg Config, namespace string) []right {
	var shards []string
	for i := range ledger.Shards {
		shards = append(shards, fmt.Sprintf("%s-ledger-%d", cfg.Settings, i))
	}
	rights := []right{
		{what: "pods", resource: "pods", verbs: []string{"list", "watch"}},
		{what: "nodes", resource: "nodes", verbs: []string{"list", "watch"}},
		{what: "ConfigMap " + cfg.Settings, resource: "configmaps", namespace: namespace, names: []string{cfg.Settings}, verbs: []string{"list", "watch"}},
		{what: fmt.Sprintf("ConfigMaps %s to %d", shards[0], len(shards)-1), resource: "configmaps", namespace: namespace, names: shards,
			verbs: []string{"get", "create", "patch", "update"}},
	}
	rights = append(rights, right{what: "Events", resource: "events", namespace: namespace, verbs: []string{"create"}})
	if cfg.LeaderElection.Enabled {
		rights = append(rights, right{what: "Lease " + cfg.LeaderElection.Lease, group: "coordination.k8s.io", resource: "leases", namespace: namespace,
			names: []string{cfg.LeaderElection.Lease}, verbs: []string{"get", "create", "update"}})
	}
	return rights
}

// excess is a right that the daemon has no use for.
type excess struct {
	attributes authorizationv1.ResourceAttributes
	outcome    outcome
	found      string
}

// excessRights are some that somebody may have granted to it, those that hold others first.
var excessRights = [...]excess{
	{authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"}, isWarning, "it may do anything in the cluster: take that away"},
	{authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets"}, isWarning, "it may list all Secrets, with what they hold: take that away"},
	{authorizationv1.ResourceAttributes{Verb: "get", Resource: "secrets"}, isInfo, "it may get any Secret, as deploy/pull-secrets-cluster.yaml grants it"},
	{authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods"}, isWarning, "it may create pods: take that away"},
	{authorizationv1.ResourceAttributes{Verb: "patch", Resource: "pods"}, isWarning, "it may change pods: take that away"},
	{authorizationv1.ResourceAttributes{Verb: "delete", Resource: "pods"}, isWarning, "it may delete pods: take that away"},
	{authorizationv1.ResourceAttributes{Verb: "patch", Resource: "nodes"}, isWarning, "it may change nodes: take that away"},
	{authorizationv1.ResourceAttributes{Verb: "patch", Resource: "configmaps"}, isWarning, "it may change any ConfigMap, its own settings included: take that away"},
}

// checkRights asks the API whether what the daemon does is allowed, and what should not be.
func (c *checkup) checkRights(ctx context.Context, cluster cluster) []row {
	switch {
	case cluster.err != nil && c.options.settingsFile != "" && c.cfg.Kubeconfig == "": // nobody has asked for one
		return []row{{"Kubernetes API", isSkipped, cluster.err.Error()}}
	case cluster.err != nil:
		return []row{{"Kubernetes API", isProblem, cluster.err.Error()}}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	who, err := cluster.whoAmI(ctx)
	if err != nil {
		return []row{{"Kubernetes API", isProblem, "it cannot be asked: " + err.Error() + "; see whether it can be reached from here, with this kubeconfig"}}
	}
	rows := []row{{"Kubernetes API", isOK, "answers; you are " + who}}
	rows = append(rows, inOrder(neededRights(c.cfg, cluster.namespace), func(r right) []row { return []row{cluster.checkRight(ctx, r)} })...)
	if !strings.HasPrefix(who, "system:serviceaccount:") {
		return append(rows, row{"rights beyond that", isSkipped, "these are the rights of " + who + "; --as system:serviceaccount:" + cluster.namespace + ":clairwatch looks at those of the daemon"})
	}
	return append(rows, cluster.checkExcess(ctx)...)
}

// whoAmI is the user as which the API knows us.
func (c cluster) whoAmI(ctx context.Context) (string, error) {
	review, err := c.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, new(authenticationv1.SelfSubjectReview), metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return review.Status.UserInfo.Username, nil
}

// checkRight asks for each verb and each name of a right.
func (c cluster) checkRight(ctx context.Context, r right) row {
	what := "right to " + r.what
	names := r.names
	if len(names) == 0 {
		names = []string{""}
	}
	var missing []string
	for _, verb := range r.verbs {
		lacks := 0
		for _, name := range names {
			allowed, err := c.allows(ctx, authorizationv1.ResourceAttributes{
				Verb: verb, Group: r.group, Resource: r.resource, Namespace: r.namespace, Name: name,
			})
			if err != nil {
				return row{what, isProblem, "the API does not say: " + err.Error()}
			}
			if !allowed {
				lacks++
			}
		}
		switch {
		case lacks == 0:
		case lacks == len(names):
			missing = append(missing, verb)
		default:
			missing = append(missing, fmt.Sprintf("%s (%d of %d)", verb, lacks, len(names)))
		}
	}
	if len(missing) > 0 {
		return row{what, isProblem, "not allowed: " + strings.Join(missing, ", ") + "; kubectl apply -f deploy/clairwatch.yaml grants it"}
	}
	return row{what, isOK, strings.Join(r.verbs, ", ")}
}

// checkExcess has a row for each right that the daemon should not have.
func (c cluster) checkExcess(ctx context.Context) []row {
	const what = "rights beyond that"
	var rows []row
	for _, e := range excessRights {
		allowed, err := c.allows(ctx, e.attributes)
		switch {
		case err != nil:
			return append(rows, row{what, isProblem, "the API does not say: " + err.Error()})
		case allowed:
			rows = append(rows, row{what, e.outcome, e.found})
		}
		if allowed && e.attributes.Verb == "*" {
			break // which holds all others
		}
	}
	if len(rows) == 0 {
		return []row{{what, isOK, "none"}}
	}
	return rows
}

// allows asks for one right of ours.
func (c cluster) allows(ctx context.Context, attributes authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes}}
	answer, err := c.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

// withoutPath takes the path off an error where it is named already.
func withoutPath(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}
