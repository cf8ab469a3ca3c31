package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/watcher"
)

// cluster is the Kubernetes API.
type cluster struct {
	client    watcher.Kubernetes
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
	client, err := watcher.NewKubernetes(rest)
	if err != nil {
		return cluster{err: err}
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
	// file is what grants it; empty: deploy/clairwatch.yaml.
	file string
}

// neededRights are those that the daemon cannot do without: the rules of deploy/clairwatch.yaml, and of deploy/annotate.yaml
// where pods are to be annotated.
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
	if cfg.AnnotatePods {
		rights = append(rights, right{what: "annotate pods", resource: "pods", verbs: []string{"patch"}, file: annotateFile})
	}
	return rights
}

// annotateFile grants and confines the right to annotate pods.
const annotateFile = "deploy/annotate.yaml"

// patchPods is the right to change pods, in whatever way.
var patchPods = authorizationv1.ResourceAttributes{Verb: "patch", Resource: "pods"}

// checkRights asks the API whether what the daemon does is allowed, and what should not be.
func (c *checkup) checkRights(ctx context.Context, cluster cluster, found settingsFound) []row {
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
	account, isAccount := strings.CutPrefix(who, "system:serviceaccount:")
	if !isAccount {
		return append(rows, row{beyond, isSkipped, "these are the rights of " + who + "; --as system:serviceaccount:" + cluster.namespace + ":clairwatch looks at those of the daemon"})
	}
	if c.cfg.AnnotatePods {
		rows = append(rows, cluster.checkConfined(ctx)...)
	}
	return append(rows, cluster.checkExcess(ctx, c.cfg, account, found)...)
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
		return row{what, isProblem, "not allowed: " + strings.Join(missing, ", ") + "; kubectl apply -f " + cmp.Or(r.file, "deploy/clairwatch.yaml") + " grants it"}
	}
	return row{what, isOK, strings.Join(r.verbs, ", ")}
}

// checkConfined has a row about what confines the right to annotate pods, where there is the right.
func (c cluster) checkConfined(ctx context.Context) []row {
	const what = "policy on pods"
	if allowed, err := c.allows(ctx, patchPods); err != nil || !allowed { // another row says so
		return []row{{what, isSkipped, "there is nothing to confine"}}
	}
	switch err := c.confinement(ctx); {
	case err == nil:
		return []row{{what, isOK, "it refuses all but annotations that begin with reported.clairwatch.io/"}}
	case errors.Is(err, watcher.ErrUnconfined):
		return []row{{what, isProblem, err.Error() + ", so no pod is annotated; kubectl apply -f " + annotateFile + " confines it; if you have just applied it, ask again in a few seconds"}}
	default:
		return []row{{what, isWarning, "it cannot be tried whether the right is confined: " + err.Error()}}
	}
}

// podsTried is how many pods are asked for to try the policy on.
const podsTried = 5

// confinement says what confines the right to patch pods, as watcher.CheckConfinement does. Nothing is changed.
func (c cluster) confinement(ctx context.Context) error {
	list, err := c.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{Limit: podsTried})
	if err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	pods := make([]watcher.PodID, 0, len(list.Items))
	for _, pod := range list.Items {
		pods = append(pods, watcher.PodID{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID})
	}
	return watcher.CheckConfinement(ctx, c.client, pods)
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
