package install

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// installation is what clair.yaml has of Clair.
type installation struct {
	config    corev1.ConfigMap
	container corev1.Container
}

func readInstallation(t *testing.T) installation {
	t.Helper()
	var found installation
	for _, document := range documents(t, deploy(t, clairFile)) {
		switch identity(t, document) {
		case "ConfigMap clair/clair":
			must(t, yaml.UnmarshalStrict([]byte(document), &found.config))
		case "Deployment clair/clair":
			var d appsv1.Deployment
			must(t, yaml.UnmarshalStrict([]byte(document), &d))
			found.container = d.Spec.Template.Spec.Containers[0]
		}
	}
	if found.config.Data["config.yaml"] == "" || found.container.Image == "" {
		t.Fatalf("%s has no Clair", clairFile)
	}
	return found
}

// TestClair runs a real Clair as clair.yaml configures it: only the folder, and addresses of this machine, are others.
func TestClair(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postgres, Clair and a registry")
	}
	ctx, found := t.Context(), readInstallation(t)
	box, err := sandbox.Start(ctx, sandbox.Options{Parts: []sandbox.Part{sandbox.Clair, sandbox.Registry}, Log: t.Logf})
	must(t, err)
	t.Cleanup(func() { must(t, box.Stop()) })
	const password = "it's one"
	postgres, err := box.AddDatabase(ctx, "clair", password)
	must(t, err)
	c := &installedClair{box: box, dir: t.TempDir()}
	c.hears(t)
	c.Config = filepath.Join(c.dir, "config.yaml")
	c.Address, err = box.Address()
	must(t, err)
	c.IntrospectionAddress, err = box.Address()
	must(t, err)
	c.write(t, found, postgres)
	// Nothing of this test leaves the machine: Clair is told of a proxy that there is not.
	nowhere, err := box.Address()
	must(t, err)
	c.Env = []string{"HTTP_PROXY=http://" + nowhere, "HTTPS_PROXY=http://" + nowhere}
	for _, env := range found.container.Env {
		switch {
		case env.Name == "TMPDIR":
			c.Env = append(c.Env, env.Name+"="+t.TempDir())
		case env.ValueFrom == nil:
			c.Env = append(c.Env, env.Name+"="+env.Value)
		}
	}

	if _, err := box.InstallClair(ctx, c.InstalledClair); err == nil {
		t.Fatal("Clair needs no password, so nothing is shown")
	}
	for _, env := range found.container.Env {
		if env.ValueFrom != nil {
			c.Env = append(c.Env, env.Name+"="+password)
		}
	}
	c.server, err = box.InstallClair(ctx, c.InstalledClair)
	must(t, err)
	t.Run("probes", func(t *testing.T) { c.probes(t, found.container) })
	t.Run("notifier", c.notifier)
	t.Run("offline", func(t *testing.T) { c.offline(t, found.config.Data["offline.yaml"]) })
	t.Run("token", func(t *testing.T) { c.token(t, found.config.Data["offline.yaml"]) })
	t.Run("PSK", c.psk)
}

// installedClair is the one of TestClair.
type installedClair struct {
	sandbox.InstalledClair
	box    *sandbox.Sandbox
	dir    string
	server *sandbox.ClairServer
	// target is where its webhooks go, and heard has the first of them.
	target string
	heard  chan webhook
}

// webhook is one that Clair has sent.
type webhook struct {
	authorization []string
	callback      string
}

// hears stands in for clairwatch: it takes Clair's webhooks.
func (c *installedClair) hears(t *testing.T) {
	c.heard = make(chan webhook, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Callback string }
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<10)).Decode(&body); err != nil {
			t.Errorf("a webhook: %v", err)
		}
		select {
		case c.heard <- webhook{r.Header.Values("Authorization"), body.Callback}:
		default: // it sends some twice
		}
	}))
	t.Cleanup(server.Close)
	c.target = server.URL + "/notify"
}

// write writes the files of the ConfigMap.
func (c *installedClair) write(t *testing.T, found installation, postgres string) {
	t.Helper()
	host, port, err := net.SplitHostPort(postgres)
	must(t, err)
	mount := ""
	for _, m := range found.container.VolumeMounts {
		if m.Name == "config" {
			mount = m.MountPath
		}
	}
	here := strings.NewReplacer(
		"host=postgres port=5432", "host="+host+" port="+port,
		"http_listen_addr: :6000", "http_listen_addr: "+c.Address,
		"introspection_addr: :8089", "introspection_addr: "+c.IntrospectionAddress,
		"http://clairwatch.clairwatch/notify", c.target,
		mount+"/", c.dir+"/",
	)
	for name, text := range found.config.Data {
		found.config.Data[name] = here.Replace(text)
		must(t, os.WriteFile(filepath.Join(c.dir, name), []byte(found.config.Data[name]), 0o600))
	}
	for _, left := range []string{"host=postgres", " :6000", " :8089", mount + "/"} {
		for name, text := range found.config.Data {
			if strings.Contains(strings.ReplaceAll(text, c.dir, ""), left) {
				t.Errorf("%s still has %s", name, left)
			}
		}
	}
}

// settings makes the Secret "clair" of these files, as the kubelet mounts one, and starts Clair anew.
func (c *installedClair) settings(t *testing.T, files map[string]string) {
	t.Helper()
	must(t, c.server.Kill())
	folder := filepath.Join(c.dir, "config.yaml.d")
	must(t, os.RemoveAll(folder))
	data := filepath.Join(folder, "..2026")
	must(t, os.MkdirAll(data, 0o700))
	must(t, os.Symlink(filepath.Base(data), filepath.Join(folder, "..data")))
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(data, name), []byte(text), 0o600))
		must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)))
	}
	must(t, c.server.Start(t.Context()))
}

// probes asks what the kubelet will ask.
func (c *installedClair) probes(t *testing.T, container corev1.Container) {
	for _, probe := range []*corev1.Probe{container.ReadinessProbe, container.LivenessProbe} {
		if probe.HTTPGet.Port.StrVal != "introspection" {
			t.Errorf("%s is asked for at the port %s", probe.HTTPGet.Path, probe.HTTPGet.Port.String())
		}
		if got := status(t, c.server.IntrospectionURL+probe.HTTPGet.Path); got != http.StatusOK {
			t.Errorf("%s is answered by %d", probe.HTTPGet.Path, got)
		}
	}
}

// notifier asks for a notification, of which only a Clair whose notifier runs says that there is nothing in it.
func (c *installedClair) notifier(t *testing.T) {
	if got := status(t, c.server.URL+"/notifier/api/v1/notification/269886f3-0146-4f08-9bf7-cb1138d48643"); got != http.StatusOK {
		t.Errorf("the notifier answers %d", got)
	}
}

// offline has an image indexed and reported without a way to the Internet.
func (c *installedClair) offline(t *testing.T, settings string) {
	ctx := t.Context()
	fleet, err := image.Fleet(1)
	must(t, err)
	app := fleet[0].Artifact.(v1.Image)
	name := c.box.RegistryHost + "/" + fleet[0].Name
	_, err = image.Push(ctx, name, app, nil)
	must(t, err)
	repository := name[:strings.LastIndexByte(name, ':')]
	if err := c.server.Index(ctx, repository, app); err == nil {
		t.Error("the image can be indexed without these settings, so nothing is shown")
	}
	c.settings(t, map[string]string{"offline.yaml": settings})
	facts, err := vulnerability.Facts(vulnerability.First)
	must(t, err)
	bundle := filepath.Join(t.TempDir(), "updates.json.gz")
	must(t, vulnerability.WriteFile(bundle, facts, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	must(t, c.server.ImportBundle(ctx, bundle))
	must(t, c.server.Index(ctx, repository, app))
	digest, err := app.Digest()
	must(t, err)
	report := c.server.URL + "/matcher/api/v1/vulnerability_report/" + digest.String()
	if got := status(t, report); got != http.StatusOK {
		t.Errorf("its report is answered by %d", got)
	}
}

// token follows the command of docs/clair.md, and has Clair send a webhook: the piece adds a header to the webhook of the
// manifest, and takes nothing away from it.
func (c *installedClair) token(t *testing.T, offline string) {
	literal := regexp.MustCompile(`(?s)\{\\"stringData\\": \{\\"(notify\.yaml)\\": \\\n +\\"(.+?)\\"\}\}"\n`).FindStringSubmatch(document(t, "docs/clair.md"))
	if literal == nil {
		t.Fatal("there is no command that gives Clair a token")
	}
	c.settings(t, map[string]string{
		"offline.yaml": offline,
		literal[1]:     strings.ReplaceAll(literal[2], "$(cat notify-token)", "secret"),
		"soon.yaml":    "{notifier: {poll_interval: 1s, delivery_interval: 1s}}", // which only the sandbox's takes
	})
	facts, err := vulnerability.Facts(vulnerability.Second)
	must(t, err)
	bundle := filepath.Join(t.TempDir(), "updates.json.gz")
	must(t, vulnerability.WriteFile(bundle, facts, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)))
	must(t, c.server.ImportBundle(t.Context(), bundle))
	select {
	case got := <-c.heard:
		if !slices.Equal(got.authorization, []string{"Bearer secret"}) || !strings.HasPrefix(got.callback, "http://clair.clair:6000/notifier/api/v1/notification/") {
			t.Errorf("Clair sends %+v", got)
		}
	case <-time.After(time.Minute):
		t.Error("Clair sends no webhook")
	}
}

// psk follows the command of docs/clair.md, and then asks as clairwatch does.
func (c *installedClair) psk(t *testing.T) {
	literal := regexp.MustCompile(`\{\\"stringData\\": \{\\"(psk\.yaml)\\": \\"(.+)\\"\}\}"\n`).FindStringSubmatch(document(t, "docs/clair.md"))
	if literal == nil {
		t.Fatal("there is no command that gives Clair a PSK")
	}
	file := filepath.Join(t.TempDir(), "clair-psk")
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb, 0xff, 7}, 11)[:32]) // with + and /
	must(t, os.WriteFile(file, []byte(key+"\n"), 0o600))
	const command = "$(cat clair-psk)"
	if !strings.Contains(literal[2], command) {
		t.Fatalf("%s does not hold the key", literal[2])
	}
	client, err := clair.New(clair.Config{URL: c.server.URL, PSK: clair.NewPSK(clair.PSKConfig{Clair: c.server.URL, File: file})})
	must(t, err)
	if _, err := client.State(t.Context()); err != nil {
		t.Errorf("clairwatch cannot have the key first: %v", err)
	}
	c.settings(t, map[string]string{literal[1]: strings.ReplaceAll(literal[2], command, key)})
	if got := status(t, c.server.URL+"/indexer/api/v1/index_state"); got != http.StatusUnauthorized {
		t.Errorf("who has no key is answered by %d", got)
	}
	if _, err := client.State(t.Context()); err != nil {
		t.Error(err)
	}
}

// status asks a server.
func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode
}

// TestClairVersion: what is tried here is what the manifest runs.
func TestClairVersion(t *testing.T) {
	module, err := os.ReadFile(filepath.Join("..", "servers", "clair", "go.mod"))
	must(t, err)
	version := regexp.MustCompile(`github\.com/quay/clair/v4 v(\S+)`).FindSubmatch(module)
	if version == nil {
		t.Fatal("the sandbox's Clair has no version")
	}
	if want := fmt.Sprintf("quay.io/projectquay/clair:%s", version[1]); readInstallation(t).container.Image != want {
		t.Errorf("the manifest runs %s, the sandbox tries %s", readInstallation(t).container.Image, want)
	}
}
