package install

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// account is whose rights these tests add to.
const account = "clairwatch:clairwatch"

// checker is clairwatch check with the rights of the daemon.
type checker struct{ binary, kubeconfig string }

func (c *cluster) checker(t *testing.T) checker {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "clairwatch")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join("..", ".."), "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("building clairwatch: %v\n%s", err, out)
	}
	kubeconfig, err := c.Kubeconfig(t.Context(), "clairwatch", "clairwatch")
	must(t, err)
	return checker{binary, kubeconfig}
}

// beyond returns what check says of rights that are not needed, each with its outcome before it.
func (c checker) beyond(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, c.binary, "check", "-o", "json", "--kubeconfig", c.kubeconfig, "--namespace", "clairwatch", "--docker-config", "").Output()
	if err != nil {
		return nil, err
	}
	var doc struct {
		Checks []struct{ What, Is, Found string }
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, err
	}
	var said []string
	for _, row := range doc.Checks {
		if row.What == "rights beyond that" {
			said = append(said, row.Is+" "+row.Found)
		}
	}
	return said, nil
}

// await waits until the first that check says of these rights is what is wanted, since a grant takes a moment, and returns
// the rest.
func (c checker) await(t *testing.T, want string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var said []string
	err := stage.Await(ctx, "what check says", func() (bool, error) {
		var err error
		said, err = c.beyond(ctx)
		return err == nil && len(said) > 0 && said[0] == want, err
	})
	if err != nil {
		t.Fatalf("%v: got %q, want %q", err, said, want)
	}
	return said[1:]
}

// TestCheckExcess grants the daemon more than it needs, and has check say what, and by which command to see who did it.
func TestCheckExcess(t *testing.T) {
	c := start(t)
	c.apply(t, "-f", deploy(t, daemonFile))
	check := c.checker(t)
	const places = "the 3 namespaces clairwatch, default, kube-system; others were not looked at"
	if more := check.await(t, "ok none in the cluster, nor in "+places); len(more) > 0 {
		t.Errorf("beside none: %q", more)
	}
	c.kubectl(t, "create", "namespace", "shop")
	c.kubectl(t, "-n", "clairwatch", "patch", "configmap", "clairwatch", "-p", `{"data": {"shop": ""}}`)
	const watching = "the 4 namespaces clairwatch, default, kube-system, shop; others were not looked at"
	const none = "ok none in the cluster, nor in " + watching
	check.await(t, none)
	const clusterRole, role = "clusterrole", "role"
	for _, grant := range []struct {
		by, verb, resource, name string // empty: any
		in                       string // namespace of the grant
		want                     string
	}{
		{clusterRole, "create", "pods/exec", "", "clairwatch", "create pods/exec in the cluster"},
		{clusterRole, "create", "deployments.apps", "", "clairwatch", "create deployments.apps in the cluster"},
		{clusterRole, "create", "clusterrolebindings", "", "clairwatch", "create clusterrolebindings.rbac.authorization.k8s.io in the cluster"},
		{clusterRole, "impersonate", "users", "", "clairwatch", "impersonate users in the cluster"},
		{clusterRole, "update", "nodes", "", "clairwatch", "update nodes in the cluster"},
		{clusterRole, "update", "configmaps", "", "clairwatch", "update configmaps in the cluster"},
		{clusterRole, "*", "*.*", "", "clairwatch", "do anything in the cluster"},
		{role, "update", "configmaps", "clairwatch", "clairwatch", "update configmaps clairwatch in the namespace clairwatch"},
		{role, "create", "pods/exec", "", "shop", "create pods/exec in the namespace shop"}, // a key of the settings
	} {
		t.Run(grant.want, func(t *testing.T) {
			in := func(args ...string) []string { return append(args, "-n", grant.in) }
			create := in("create", grant.by, "too-much", "--verb="+grant.verb, "--resource="+grant.resource)
			if grant.name != "" {
				create = append(create, "--resource-name="+grant.name)
			}
			c.kubectl(t, create...)
			c.kubectl(t, in("create", grant.by+"binding", "too-much", "--"+grant.by+"=too-much", "--serviceaccount="+account)...)
			more := check.await(t, "warning it may "+grant.want+": take that away")
			if want := "info looked at: the cluster and " + watching; len(more) != 2 || more[1] != want {
				t.Fatalf("got %q, want a command and %q", more, want)
			}
			hint := more[0]
			command := regexp.MustCompile(`^info what may grant that: kubectl (.*) \| grep -E '(.*)'$`).FindStringSubmatch(hint)
			if command == nil {
				t.Fatalf("no command that says who did it: %q", hint)
			}
			names := regexp.MustCompile(`(?m)^.* (.*/)?too-much .*(` + command[2] + `)`)
			if bindings := c.kubectl(t, strings.Fields(command[1])...); !names.MatchString(bindings) {
				t.Errorf("%s does not name the binding:\n%s", command[0], bindings)
			}
			c.kubectl(t, in("delete", grant.by+"/too-much", grant.by+"binding/too-much")...)
			check.await(t, none)
		})
	}
	c.apply(t, "-f", deploy(t, "pull-secrets-cluster.yaml"))
	more := check.await(t, "info it may get any Secret, as deploy/pull-secrets-cluster.yaml grants it")
	if want := []string{"info nothing else in the cluster, nor in " + watching}; !slices.Equal(more, want) {
		t.Errorf("beside that: %q, want %q", more, want)
	}
}
