package main

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// pod is one that runs, or that somebody else runs.
type pod struct {
	name, namespace string
	labels          map[string]string
	spec            corev1.PodSpec
}

// port is the number of a port that a container of the pod has; 0: none has it.
func (p pod) port(of intstr.IntOrString) int32 {
	for _, c := range p.spec.Containers {
		for _, port := range c.Ports {
			if port.Name == of.StrVal && of.Type == intstr.String || port.ContainerPort == of.IntVal && of.Type == intstr.Int {
				return port.ContainerPort
			}
		}
	}
	return 0
}

// deployed is what is in the manifests.
type deployed struct {
	pods     []pod
	services []corev1.Service
	policies []networkingv1.NetworkPolicy
	maps     map[string]map[string]string // data by namespace/name
	// strategies are those of Deployments, by namespace/name.
	strategies map[string]appsv1.DeploymentStrategyType
	names      map[string]bool // of objects, as kubectl has them, and of what pods may mount: secret clair/clair
}

func readDeployed(t *testing.T) deployed {
	t.Helper()
	d := deployed{
		maps:       make(map[string]map[string]string),
		strategies: make(map[string]appsv1.DeploymentStrategyType),
		names:      make(map[string]bool),
	}
	decode := func(document string, into any) {
		t.Helper()
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
	}
	run := func(o metav1.ObjectMeta, template corev1.PodTemplateSpec, selector *metav1.LabelSelector) {
		if !selects(t, selector, template.Labels) {
			t.Errorf("%s does not select its own pods", o.Name)
		}
		d.pods = append(d.pods, pod{o.Name, o.Namespace, template.Labels, template.Spec})
		for _, v := range template.Spec.Volumes {
			switch {
			case v.Secret != nil:
				d.names["secret "+o.Namespace+"/"+v.Secret.SecretName] = true
			case v.ConfigMap != nil:
				d.names["configmap "+o.Namespace+"/"+v.ConfigMap.Name] = true
			}
		}
	}
	for _, path := range []string{"deploy/clairwatch.yaml", "deploy/clair.yaml"} {
		for document := range strings.SplitSeq(read(t, path), "\n---\n") {
			var object map[string]any // finds keys that are there twice
			decode(document, &object)
			var meta metav1.PartialObjectMetadata
			if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
				t.Fatal(err)
			}
			d.names[strings.ToLower(meta.Kind)+" "+strings.TrimPrefix(meta.Namespace+"/"+meta.Name, "/")] = true
			switch meta.Kind {
			case "Deployment":
				var o appsv1.Deployment
				decode(document, &o)
				run(o.ObjectMeta, o.Spec.Template, o.Spec.Selector)
				d.strategies[o.Namespace+"/"+o.Name] = o.Spec.Strategy.Type
			case "StatefulSet":
				var o appsv1.StatefulSet
				decode(document, &o)
				run(o.ObjectMeta, o.Spec.Template, o.Spec.Selector)
			case "Service":
				var o corev1.Service
				decode(document, &o)
				d.services = append(d.services, o)
			case "NetworkPolicy":
				var o networkingv1.NetworkPolicy
				decode(document, &o)
				d.policies = append(d.policies, o)
			case "ConfigMap":
				var o corev1.ConfigMap
				decode(document, &o)
				d.maps[o.Namespace+"/"+o.Name] = o.Data
			}
		}
	}
	return d
}

// pod returns one of the manifests.
func (d deployed) pod(t *testing.T, namespace, name string) pod {
	t.Helper()
	for _, p := range d.pods {
		if p.namespace == namespace && p.name == name {
			return p
		}
	}
	t.Fatalf("there is no pod of %s/%s", namespace, name)
	return pod{}
}

func selects(t *testing.T, selector *metav1.LabelSelector, set map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(set))
}

// endpoint is an end of a connection: a pod, or an address without one.
type endpoint struct {
	pod
	address string
}

// lets says whether the policies let a connection from one end to a port of the other.
func (d deployed) lets(t *testing.T, from, to endpoint, port int32) bool {
	t.Helper()
	out, in := true, true
	for _, p := range d.policies {
		if governs(t, p, from, networkingv1.PolicyTypeEgress) {
			out = slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
				return reaches(t, p, r.To, to) && hasPort(r.Ports, to, port)
			})
		}
		if governs(t, p, to, networkingv1.PolicyTypeIngress) {
			in = slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
				return reaches(t, p, r.From, from) && hasPort(r.Ports, to, port)
			})
		}
	}
	return out && in
}

// governs says whether a policy is about what a pod does. No pod of the manifests has two.
func governs(t *testing.T, p networkingv1.NetworkPolicy, e endpoint, kind networkingv1.PolicyType) bool {
	t.Helper()
	return e.namespace == p.Namespace && slices.Contains(p.Spec.PolicyTypes, kind) && selects(t, &p.Spec.PodSelector, e.labels)
}

func reaches(t *testing.T, p networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, e endpoint) bool {
	t.Helper()
	return slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		switch {
		case peer.IPBlock != nil:
			return e.address != "" && inBlock(t, peer.IPBlock, e.address)
		case e.address != "":
			return false
		case peer.NamespaceSelector == nil && e.namespace != p.Namespace,
			peer.NamespaceSelector != nil && !selects(t, peer.NamespaceSelector, map[string]string{corev1.LabelMetadataName: e.namespace}):
			return false
		}
		return peer.PodSelector == nil || selects(t, peer.PodSelector, e.labels)
	})
}

func inBlock(t *testing.T, block *networkingv1.IPBlock, address string) bool {
	t.Helper()
	in := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			t.Fatal(err)
		}
		return prefix.Contains(netip.MustParseAddr(address))
	}
	return in(block.CIDR) && !slices.ContainsFunc(block.Except, in)
}

func hasPort(ports []networkingv1.NetworkPolicyPort, to endpoint, port int32) bool {
	return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		if p.Port.Type == intstr.String {
			return to.port(*p.Port) == port
		}
		return p.Port.IntVal == port
	})
}

// TestManifestStrategies: of the daemon a new one stands by before the old one ends, of a Clair the old one ends first.
func TestManifestStrategies(t *testing.T) {
	want := map[string]appsv1.DeploymentStrategyType{
		"clairwatch/clairwatch": appsv1.RollingUpdateDeploymentStrategyType, "clair/clair": appsv1.RecreateDeploymentStrategyType,
	}
	if got := readDeployed(t).strategies; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestManifestPolicies tries connections that have to be, and some that must not.
func TestManifestPolicies(t *testing.T) {
	d := readDeployed(t)
	ours := func(namespace, name string) endpoint { return endpoint{pod: d.pod(t, namespace, name)} }
	other := func(namespace string) endpoint { return endpoint{pod: pod{namespace: namespace}} }
	at := func(address string) endpoint { return endpoint{address: address} }
	daemon, clair, postgres := ours("clairwatch", "clairwatch"), ours("clair", "clair"), ours("clair", "postgres")
	for _, c := range []struct {
		name     string
		from, to endpoint
		port     int32
		want     bool
	}{
		{"ask Clair", daemon, clair, 6000, true},
		{"Clair's webhook", clair, daemon, 8080, true},
		{"Clair's database", clair, postgres, 5432, true},
		{"metrics", other("monitoring"), daemon, 8080, true},
		{"DNS of the daemon", daemon, other("kube-system"), 53, true},
		{"DNS of Clair", clair, other("kube-system"), 53, true},
		{"Slack", daemon, at("3.68.124.168"), 443, true},
		{"the API server at a node", daemon, at("10.0.0.10"), 6443, true},
		{"the API server of a cloud", daemon, at("34.1.2.3"), 443, true},
		{"a registry over IPv6", daemon, at("2606:4700::1"), 443, true},
		{"Clair and a registry", clair, at("34.1.2.3"), 443, true},
		{"Clair and one over IPv6", clair, at("2606:4700::1"), 443, true},

		{"another pod and the daemon", other("shop"), daemon, 8080, false},
		{"Prometheus and the pages", other("monitoring"), daemon, 8081, false},
		{"Clair and the pages", clair, daemon, 8081, false},
		{"another pod and Clair", other("shop"), clair, 6000, false},
		{"another pod and Clair's profiles", other("shop"), clair, 8089, false},
		{"the daemon and Clair's profiles", daemon, clair, 8089, false},
		{"the daemon and the database", daemon, postgres, 5432, false},
		{"another pod and the database", other("shop"), postgres, 5432, false},
		{"the database and Clair", postgres, clair, 6000, false},
		{"the database and the world", postgres, at("34.1.2.3"), 443, false},
		{"Clair and another pod", clair, other("shop"), 443, false},
		{"the daemon over http", daemon, at("34.1.2.3"), 80, false},
		{"Clair and a node", clair, at("10.0.0.10"), 443, false},
		{"Clair and the API server", clair, at("10.0.0.10"), 6443, false},
		{"Clair and the API server's Service", clair, at("10.96.0.1"), 443, false},
		{"Clair and Amazon's second range", clair, at("100.64.0.1"), 443, false},
		{"Clair and a private address over IPv6", clair, at("fd00::1"), 443, false},
		{"the daemon, the metadata over IPv6", daemon, at("fd00:ec2::254"), 443, false},
	} {
		if got := d.lets(t, c.from, c.to, c.port); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for _, address := range []string{"169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fe80::1", "fd00:ec2::254", "fd20:ce::254"} {
		for _, from := range []endpoint{daemon, clair, postgres} {
			for _, port := range []int32{80, 443, 6443} {
				if d.lets(t, from, at(address), port) {
					t.Errorf("%s reaches %s at %d", from.name, address, port)
				}
			}
		}
	}
	for _, p := range d.policies {
		if len(p.Spec.PolicyTypes) != 2 {
			t.Errorf("the policy of %s is about %v only", p.Name, p.Spec.PolicyTypes)
		}
	}
	for _, p := range d.pods {
		if n := len(slices.DeleteFunc(slices.Clone(d.policies), func(policy networkingv1.NetworkPolicy) bool {
			return !governs(t, policy, endpoint{pod: p}, networkingv1.PolicyTypeIngress)
		})); n != 1 {
			t.Errorf("%d policies are about %s", n, p.name)
		}
	}
}

// TestManifestAddresses follows each address that the manifests and the README have to a port of a container.
func TestManifestAddresses(t *testing.T) {
	d := readDeployed(t)
	for _, s := range d.services {
		for _, port := range s.Spec.Ports {
			behind := 0
			for _, p := range d.pods {
				if p.namespace == s.Namespace && selects(t, &metav1.LabelSelector{MatchLabels: s.Spec.Selector}, p.labels) && p.port(port.TargetPort) != 0 {
					behind++
				}
			}
			if behind != 1 {
				t.Errorf("%d pods are behind the port %s of the Service %s/%s", behind, port.TargetPort.String(), s.Namespace, s.Name)
			}
		}
	}
	known := func(host string, port int) bool {
		return slices.ContainsFunc(d.services, func(s corev1.Service) bool {
			return s.Name+"."+s.Namespace == host && slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return int(p.Port) == port })
		})
	}
	config := d.maps["clair/clair"]["config.yaml"]
	for _, text := range []string{read(t, "README.md"), read(t, "deploy/clairwatch.yaml"), config} {
		seen := 0
		for _, address := range regexp.MustCompile(`http://(?:clair\.clair|clairwatch\.clairwatch)\b[^\s]*`).FindAllString(text, -1) {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			port := 80
			if u.Port() == "6000" {
				port = 6000
			}
			if !known(u.Hostname(), port) {
				t.Errorf("nothing is at %s", address)
			}
			seen++
		}
		if seen == 0 {
			t.Error("there are no addresses")
		}
	}
	databases := regexp.MustCompile(`connstring: host=(\S+) port=(\S+) dbname=(\S+) user=(\S+) `).FindAllStringSubmatch(config, -1)
	env := make(map[string]string)
	for _, e := range d.pod(t, "clair", "postgres").spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	for _, m := range databases {
		if !known(m[1]+".clair", 5432) || m[2] != "5432" || m[3] != env["POSTGRES_DB"] || m[4] != env["POSTGRES_USER"] {
			t.Errorf("there is no such database: %s", m[0])
		}
	}
	if len(databases) != 3 {
		t.Errorf("%d of Clair's parts have a database", len(databases))
	}
}

// TestManifestProbes asks the daemon's server for what the kubelet and the Services will ask.
func TestManifestProbes(t *testing.T) {
	daemon := readDeployed(t).pod(t, "clairwatch", "clairwatch")
	handler := routes(func() bool { return true }, http.NotFoundHandler(), prometheus.NewRegistry(), nil, slog.New(slog.DiscardHandler))
	_, port, _ := strings.Cut(defaults().Listen, ":")
	for name, probe := range map[string]*corev1.Probe{"liveness": daemon.spec.Containers[0].LivenessProbe, "readiness": daemon.spec.Containers[0].ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			t.Fatalf("there is no %s probe", name)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, probe.HTTPGet.Path, nil))
		if answer.Code != http.StatusOK {
			t.Errorf("%s is answered by %d", probe.HTTPGet.Path, answer.Code)
		}
		if got := daemon.port(probe.HTTPGet.Port); strconv.Itoa(int(got)) != port {
			t.Errorf("the %s probe asks at %d, the daemon listens on %s", name, got, port)
		}
	}
}

// TestManifestIsShort: somebody has to read it before it is applied.
func TestManifestIsShort(t *testing.T) {
	if n := strings.Count(read(t, "deploy/clairwatch.yaml"), "\n"); n >= 300 {
		t.Errorf("deploy/clairwatch.yaml has %d lines", n)
	}
}

// TestLinesAreShort: what somebody has to read before it is applied, beside another version of it or in a terminal.
func TestLinesAreShort(t *testing.T) {
	files, err := filepath.Glob("deploy/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no manifest: %v", err)
	}
	for _, file := range append(files, "config.yaml", "Dockerfile") {
		if file == "deploy/annotate.yaml" {
			continue // its expressions are compared with each other, one to a line
		}
		number := 0
		for line := range strings.Lines(read(t, file)) {
			number++
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 120 {
				t.Errorf("%s:%d has %d columns", file, number, n)
			}
		}
	}
}

// TestREADMENamesObjects looks for what the README has people make, edit, restart and look at.
func TestREADMENamesObjects(t *testing.T) {
	d := readDeployed(t)
	command := regexp.MustCompile(`kubectl -n (clairwatch|clair) (?:[a-z-]+ )*?(configmap|secret generic|secret docker-registry|secret|deployment|deploy|statefulset)[ /]([a-z][a-z0-9-]+)`)
	seen := make(map[string]bool)
	for _, m := range command.FindAllStringSubmatch(instructions(t), -1) {
		kind := strings.TrimSuffix(m[2], " generic")
		if kind == "secret docker-registry" {
			continue // for a patch of the user's own
		}
		if kind == "deploy" {
			kind = "deployment"
		}
		name := kind + " " + m[1] + "/" + m[3]
		if seen[name] = true; !d.names[name] {
			t.Errorf("the manifests have no %s: %s", name, m[0])
		}
	}
	for _, name := range []string{"configmap clairwatch/clairwatch", "secret clair/clair-database", "secret clair/clair", "deployment clairwatch/clairwatch"} {
		if !seen[name] {
			t.Errorf("nobody says what to do with the %s", name)
		}
	}
}

// instructions are all texts that say what to run.
func instructions(t *testing.T) string {
	t.Helper()
	all := read(t, "README.md")
	for _, pattern := range []string{"docs/*.md", "deploy/*.yaml", "deploy/*/*.md", "deploy/*/*.sh"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			all += read(t, file)
		}
	}
	return all
}
