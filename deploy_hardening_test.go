package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// TestManifestContainersAreConfined: what the namespaces' rules (Pod Security "restricted") do not ask for is there too.
func TestManifestContainersAreConfined(t *testing.T) {
	for _, p := range readDeployed(t).pods {
		if token := p.spec.AutomountServiceAccountToken; token == nil || *token != (p.name == "clairwatch") {
			t.Errorf("%s: automountServiceAccountToken is not said, or wrong", p.name)
		}
		if s := p.spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
			s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: its pod may do too much: %+v", p.name, s)
		}
		writable := make(map[string]bool) // volumes
		for _, v := range p.spec.Volumes {
			writable[v.Name] = v.EmptyDir != nil || v.PersistentVolumeClaim != nil
			if v.EmptyDir != nil && (v.EmptyDir.SizeLimit == nil || v.EmptyDir.SizeLimit.IsZero()) {
				t.Errorf("%s: nothing bounds the volume %s", p.name, v.Name)
			}
		}
		for _, c := range slices.Concat(p.spec.InitContainers, p.spec.Containers) {
			s := c.SecurityContext
			if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
				s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
				t.Errorf("%s: its container %s may do too much: %+v", p.name, c.Name, s)
			}
			for _, m := range c.VolumeMounts {
				if m.ReadOnly == writable[m.Name] {
					t.Errorf("%s: readOnly of %s is %v", p.name, m.MountPath, m.ReadOnly)
				}
			}
		}
	}
}

// TestManifestAccountHasNoTokenByDefault: another pod with that account would have the rights of the daemon.
func TestManifestAccountHasNoTokenByDefault(t *testing.T) {
	seen := 0
	for _, path := range []string{"deploy/clairwatch.yaml", "deploy/clair.yaml"} {
		for document := range strings.SplitSeq(read(t, path), "\n---\n") {
			var account corev1.ServiceAccount
			if err := yaml.Unmarshal([]byte(document), &account); err != nil {
				t.Fatal(err)
			}
			if account.Kind != "ServiceAccount" {
				continue
			}
			seen++
			if token := account.AutomountServiceAccountToken; token == nil || *token {
				t.Errorf("pods of the account %s have its token", account.Name)
			}
		}
	}
	if seen != 1 {
		t.Errorf("%d accounts", seen)
	}
}

// TestManifestStartsWithoutWhatIsOptional: what users make only if they need it does not keep a pod from starting, and what
// has to be there does.
func TestManifestStartsWithoutWhatIsOptional(t *testing.T) {
	want := map[string]bool{ // whether it is optional
		"clairwatch configmap clairwatch-config": true, "clairwatch secret clairwatch": true,
		"clair configmap clair": false, "clair secret clair": true,
		"postgres secret clair-database": false,
	}
	got := make(map[string]bool)
	is := func(optional *bool) bool { return optional != nil && *optional }
	for _, p := range readDeployed(t).pods {
		for _, v := range p.spec.Volumes {
			switch {
			case v.ConfigMap != nil:
				got[p.name+" configmap "+v.ConfigMap.Name] = is(v.ConfigMap.Optional)
			case v.Secret != nil:
				got[p.name+" secret "+v.Secret.SecretName] = is(v.Secret.Optional)
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("optional are %v, want %v", got, want)
	}
}

// TestManifestProtocols: a policy lets through by protocol too, and DNS falls back from one to the other.
func TestManifestProtocols(t *testing.T) {
	for _, p := range readDeployed(t).policies {
		ports := make(map[string]bool)
		note := func(all []networkingv1.NetworkPolicyPort) {
			for _, port := range all {
				if port.Protocol == nil || port.EndPort != nil {
					t.Errorf("%s: the protocol of %s is not said, or it is a range", p.Name, port.Port)
					continue
				}
				ports[string(*port.Protocol)+" "+port.Port.String()] = true
				if *port.Protocol != corev1.ProtocolTCP && port.Port.IntVal != 53 {
					t.Errorf("%s: %s of %s", p.Name, *port.Protocol, port.Port)
				}
			}
		}
		for _, r := range p.Spec.Ingress {
			note(r.Ports)
		}
		for _, r := range p.Spec.Egress {
			note(r.Ports)
		}
		if dns := p.Name != "postgres"; ports["UDP 53"] != dns || ports["TCP 53"] != dns {
			t.Errorf("%s: DNS is let out wrongly: %v", p.Name, ports)
		}
	}
}

// TestManifestClairReachesNoPrivateAddress tries the first and the last address of each private range.
func TestManifestClairReachesNoPrivateAddress(t *testing.T) {
	d := readDeployed(t)
	clair := endpoint{pod: d.pod(t, "clair", "clair")}
	for _, address := range []string{
		"10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255",
		"169.254.0.0", "169.254.255.255", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		if d.lets(t, clair, endpoint{address: address}, 443) {
			t.Errorf("Clair reaches %s", address)
		}
	}
}

// TestManifestMemory: the Go runtime collects its garbage before the kernel ends a container.
func TestManifestMemory(t *testing.T) {
	d := readDeployed(t)
	for _, p := range []pod{d.pod(t, "clairwatch", "clairwatch"), d.pod(t, "clair", "clair")} {
		c := p.spec.Containers[0]
		i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
		if i < 0 {
			t.Errorf("%s has no GOMEMLIMIT", p.name)
			continue
		}
		soft, err := resource.ParseQuantity(strings.TrimSuffix(c.Env[i].Value, "B"))
		if err != nil {
			t.Fatal(err)
		}
		hard, least := c.Resources.Limits.Memory(), c.Resources.Requests.Memory()
		if soft.Cmp(*hard) >= 0 || soft.Cmp(*least) <= 0 {
			t.Errorf("%s: GOMEMLIMIT is %s, with a limit of %s and a request of %s", p.name, soft.String(), hard, least)
		}
		if !c.Resources.Limits.Cpu().IsZero() {
			t.Errorf("%s: its CPU is limited", p.name)
		}
	}
}

// TestManifestClairFits follows what Clair is configured with to what asks it, or is asked by it.
func TestManifestClairFits(t *testing.T) {
	d := readDeployed(t)
	clair, postgres := d.pod(t, "clair", "clair"), d.pod(t, "clair", "postgres")
	var config struct {
		HTTP          string `json:"http_listen_addr"`
		Introspection string `json:"introspection_addr"`
		Matcher       struct {
			Retention int `json:"update_retention"`
		} `json:"matcher"`
		Notifier struct {
			Webhook struct{ Target, Callback string } `json:"webhook"`
		} `json:"notifier"`
	}
	if err := yaml.Unmarshal([]byte(d.maps["clair/clair"]["config.yaml"]), &config); err != nil {
		t.Fatal(err)
	}
	port := func(of pod, name string) string { return fmt.Sprintf(":%d", of.port(intstr.FromString(name))) }
	if config.HTTP != port(clair, "http") || config.Introspection != port(clair, "introspection") {
		t.Errorf("Clair listens on %s and %s, its pod says otherwise", config.HTTP, config.Introspection)
	}
	c := clair.spec.Containers[0]
	for path, probe := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || fmt.Sprintf(":%d", clair.port(probe.HTTPGet.Port)) != config.Introspection {
			t.Errorf("Clair is not asked for %s where it answers that: %+v", path, probe)
		}
	}
	if config.Matcher.Retention < 2 { // the notifier compares two
		t.Errorf("Clair keeps %d updates", config.Matcher.Retention)
	}
	if w := config.Notifier.Webhook; w.Target != "http://clairwatch.clairwatch/notify" || w.Callback != "http://clair.clair:6000/notifier/api/v1/notification/" {
		t.Errorf("the webhook is %+v", w)
	}
	env := make(map[string]corev1.EnvVar)
	for _, e := range c.Env {
		env[e.Name] = e
	}
	mounts := make(map[string]string)
	for _, m := range c.VolumeMounts {
		mounts[m.MountPath] = m.Name
	}
	// Clair merges what is in the folder beside its file that has its name and .d.
	if file := env["CLAIR_CONF"].Value; mounts[file+".d"] != "settings" || mounts["/config"] != "config" || file != "/config/config.yaml" {
		t.Errorf("Clair reads %s, mounted are %v", file, mounts)
	}
	from := env["PGPASSWORD"].ValueFrom
	if from == nil || from.SecretKeyRef == nil || from.SecretKeyRef.Name != "clair-database" || from.SecretKeyRef.Key != "password" {
		t.Errorf("Clair has its password from %+v", from)
	}

	c = postgres.spec.Containers[0]
	clear(env)
	for _, e := range c.Env {
		env[e.Name] = e
	}
	if file := env["POSTGRES_PASSWORD_FILE"].Value; file != "/etc/clair-database/password" {
		t.Errorf("Postgres has its password from %s", file)
	}
	data := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "data" })
	if data < 0 || !strings.HasPrefix(env["PGDATA"].Value, c.VolumeMounts[data].MountPath+"/") {
		t.Errorf("Postgres keeps its data in %q, which is not below its volume", env["PGDATA"].Value)
	}
	ready := []string{"pg_isready", "-q", "-h", "127.0.0.1", "-U", env["POSTGRES_USER"].Value, "-d", env["POSTGRES_DB"].Value}
	for name, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe} {
		if probe == nil || probe.Exec == nil || !slices.Equal(probe.Exec.Command, ready) {
			t.Errorf("the %s probe of Postgres is %+v, want %v", name, probe, ready)
		}
	}
	if config := d.maps["clair/clair"]["config.yaml"]; strings.Count(config, "pool_max_conns=20") != 2 || strings.Count(config, "pool_max_conns=10") != 1 {
		t.Error("Clair may have more connections than Postgres gives (100), or too few")
	}
}

// TestManifestNewStandsByBeforeOldEnds: the rollout of the daemon, whose liveness is another question than whether it is ready.
func TestManifestNewStandsByBeforeOldEnds(t *testing.T) {
	var rolling struct {
		Spec struct {
			Strategy struct {
				RollingUpdate struct{ MaxSurge, MaxUnavailable intstr.IntOrString }
			}
		}
	}
	for document := range strings.SplitSeq(read(t, "deploy/clairwatch.yaml"), "\n---\n") {
		if strings.Contains(document, "\nkind: Deployment\n") {
			if err := yaml.Unmarshal([]byte(document), &rolling); err != nil {
				t.Fatal(err)
			}
		}
	}
	if u := rolling.Spec.Strategy.RollingUpdate; u.MaxSurge.IntValue() != 1 || u.MaxUnavailable.IntValue() != 0 {
		t.Errorf("%s are there at once in addition, %s are missing", u.MaxSurge.String(), u.MaxUnavailable.String())
	}
	c := readDeployed(t).pod(t, "clairwatch", "clairwatch").spec.Containers[0]
	if live, ready := c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path; live != "/healthz" || ready != "/readyz" {
		t.Errorf("the probes ask for %s and %s: who is not ready is not to be ended", live, ready)
	}
	if p := c.LivenessProbe; p.TimeoutSeconds < 5 || p.PeriodSeconds < 10 {
		t.Errorf("it is ended after %d s without an answer, asked every %d s", p.TimeoutSeconds, p.PeriodSeconds)
	}
}
