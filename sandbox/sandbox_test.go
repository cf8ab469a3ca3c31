package sandbox

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// roleVariable makes this test binary play a part in a test instead of running tests.
const roleVariable = "CLAIRWATCH_SANDBOX_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "parent":
		playParent()
	case "daemon":
		playDaemon()
	default:
		fmt.Fprintln(os.Stderr, "unknown role", role)
		os.Exit(2)
	}
}

// family is what the parent of TestKilledParent tells of itself.
type family struct {
	Dir       string
	Processes []int
}

// playParent starts all servers, says which processes that makes, and waits to be killed.
func playParent() {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s, err := Start(context.Background(), Options{})
	if err != nil {
		fail(err)
	}
	processes, err := descendants(os.Getpid())
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(family{s.Dir, processes}); err != nil {
		fail(err)
	}
	select {}
}

// playDaemon shows its arguments, environment and folder, and ends with exit
// code 0 at SIGTERM.
func playDaemon() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	dir, err := os.Getwd()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Printf("args %q in %s with %q\n", os.Args[1:], filepath.Base(dir), os.Environ())
	<-ctx.Done()
	fmt.Println("ending in order")
}

// start starts a sandbox and, at the end of the test, proves that nothing of it is left.
func start(t *testing.T, parts ...Part) *Sandbox {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real servers")
	}
	s, err := Start(t.Context(), Options{Parts: parts, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Sandbox) {
	t.Helper()
	processes, err := descendants(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	for _, pid := range processes {
		if !ended(t, pid, 0) {
			t.Errorf("process %d is still there: %s", pid, commandLine(pid))
		}
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder %s is still there (%v)", s.Dir, err)
	}
}

// ended waits until a process has ended, at most for the time given.
func ended(t *testing.T, pid int, bound time.Duration) bool {
	t.Helper()
	file, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return true
	}
	if err != nil {
		t.Fatalf("watching process %d: %v", pid, err)
	}
	defer unix.Close(file)
	return awaitEnd(file, bound) == nil
}

func commandLine(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(text), "\x00", " ")
}

// get returns the status and body of a URL.
func get(ctx context.Context, url string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, string(body), err
}

func mustGet(t *testing.T, url string) string {
	t.Helper()
	status, body, err := get(t.Context(), url)
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET %s: %d, %v, %s", url, status, err, body)
	}
	return body
}

// TestSandbox starts everything once and lets each part be used as the
// end-to-end tests will use it.
func TestSandbox(t *testing.T) {
	s := start(t)
	t.Run("registries", func(t *testing.T) { testRegistries(t, s) })
	t.Run("apply and tokens", func(t *testing.T) { testAPIServer(t, s) })
	t.Run("bundles that are none", func(t *testing.T) { testBrokenBundles(t, s) })
	t.Run("bundle, report and notification", func(t *testing.T) { testNotify(t, s) })
	t.Run("daemon", func(t *testing.T) { testDaemon(t, s) })
	t.Run("servers that end and come back", func(t *testing.T) { testRestarts(t, s) })
	t.Run("stop twice", func(t *testing.T) {
		stop(t, s)
		stop(t, s)
		if _, err := s.StartDaemon(t.Context(), "/bin/true", nil, nil); err == nil {
			t.Error("a stopped sandbox started a daemon")
		}
		if err := s.Process(Clair).Start(t.Context()); err == nil {
			t.Error("a stopped sandbox started Clair")
		}
	})
}

func testRegistries(t *testing.T, s *Sandbox) {
	const theirs = TenantRepositories + "app"
	reader := &authn.Basic{Username: s.PrivateUser, Password: s.PrivatePassword}
	tenant := &authn.Basic{Username: s.TenantUser, Password: s.TenantPassword}
	liar := &authn.Basic{Username: s.PrivateUser, Password: "wrong"}
	tests := []struct {
		name       string
		host       string
		repository string              // empty: team/app
		auth       authn.Authenticator // nil: that of PushKeychain
		push, pull int                 // the status of a refusal; 0: done
	}{
		{name: "open, anonymous", host: s.RegistryHost, auth: authn.Anonymous},
		{name: "private, the sandbox", host: s.PrivateRegistryHost},
		{name: "private, reader", host: s.PrivateRegistryHost, auth: reader, push: http.StatusUnauthorized},
		{name: "private, anonymous", host: s.PrivateRegistryHost, auth: authn.Anonymous, push: http.StatusUnauthorized, pull: http.StatusUnauthorized},
		{name: "private, wrong password", host: s.PrivateRegistryHost, auth: liar, push: http.StatusUnauthorized, pull: http.StatusUnauthorized},
		{name: "private, tenant", host: s.PrivateRegistryHost, auth: tenant, push: http.StatusUnauthorized, pull: http.StatusUnauthorized},
		{name: "a tenant's, the sandbox", host: s.PrivateRegistryHost, repository: theirs},
		{name: "a tenant's, tenant", host: s.PrivateRegistryHost, repository: theirs, auth: tenant, push: http.StatusUnauthorized},
		{name: "a tenant's, reader", host: s.PrivateRegistryHost, repository: theirs, auth: reader, push: http.StatusUnauthorized, pull: http.StatusUnauthorized},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			image, err := random.Image(1000, 2) // a new one: what is there already is not pushed
			if err != nil {
				t.Fatal(err)
			}
			reference, err := name.ParseReference(test.host + "/" + cmp.Or(test.repository, "team/app") + ":1")
			if err != nil {
				t.Fatal(err)
			}
			option := remote.WithAuth(test.auth)
			if test.auth == nil {
				option = remote.WithAuthFromKeychain(s.PushKeychain())
			}
			wantStatus(t, "push", remote.Write(reference, image, option, remote.WithContext(t.Context())), test.push)
			_, err = remote.Get(reference, option, remote.WithContext(t.Context()))
			wantStatus(t, "pull", err, test.pull)
		})
	}

	path, err := s.DockerConfig()
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := s.TenantCredentials()
	if err != nil {
		t.Fatal(err)
	}
	theirPath := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(theirPath, tenants, 0o600); err != nil {
		t.Fatal(err)
	}
	for repository, config := range map[string]string{"team/app": path, theirs: theirPath} {
		t.Setenv("DOCKER_CONFIG", filepath.Dir(config))
		reference, err := name.ParseReference(s.PrivateRegistryHost + "/" + repository + ":1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Get(reference, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			t.Errorf("pulling %s with the docker config: %v", repository, err)
		}
	}
}

func wantStatus(t *testing.T, what string, err error, want int) {
	t.Helper()
	if want == 0 {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	var refusal *transport.Error
	if !errors.As(err, &refusal) || refusal.StatusCode != want {
		t.Errorf("%s: %v, want the status %d", what, err, want)
	}
}

func testAPIServer(t *testing.T, s *Sandbox) {
	ctx := t.Context()
	for range 2 { // applying again changes nothing
		if err := s.Apply(ctx, filepath.Join("testdata", "manifest.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := kubernetes.NewForConfig(s.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CoreV1().ConfigMaps("default").Get(ctx, "nowhere", metav1.GetOptions{}); err != nil {
		t.Errorf("an object without a namespace belongs in default: %v", err)
	}
	path, err := s.Kubeconfig(ctx, "reading", "reader")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	page, err := reader.CoreV1().ConfigMaps("reading").Get(ctx, "page", metav1.GetOptions{})
	if err != nil || page.Data["text"] != "hello" {
		t.Errorf("the ServiceAccount read %v, %v", page, err)
	}
	if _, err := reader.CoreV1().ConfigMaps("default").Get(ctx, "nowhere", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the ServiceAccount read what its role does not name: %v", err)
	}
	if _, err := s.Kubeconfig(ctx, "reading", "nobody"); err == nil || !strings.Contains(err.Error(), "reading/nobody") {
		t.Errorf("a token for a ServiceAccount that is not there: %v", err)
	}
	if err := s.ApplyYAML(ctx, []byte("apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}\n")); err == nil || !strings.Contains(err.Error(), "Nonsense x") {
		t.Errorf("applying an unknown kind: %v", err)
	}
	config, err = clientcmd.BuildConfigFromFlags("", s.AdminKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if admin, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CoreV1().Secrets("").List(ctx, metav1.ListOptions{}); err != nil {
		t.Errorf("with the administrator's kubeconfig: %v", err)
	}
}

func testBrokenBundles(t *testing.T, s *Sandbox) {
	broken := filepath.Join(t.TempDir(), "broken.json")
	for text, want := range map[string]string{"": "the bundle is empty", "{": "entry 1: unexpected EOF"} {
		if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.ImportBundle(t.Context(), broken); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("importing %q: %v, want %q", text, err, want)
		}
	}
	if err := s.ImportBundle(t.Context(), broken+".nowhere"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("importing a file that is not there: %v", err)
	}
}

// testNotify has Clair index an image and then learn of a vulnerability in it:
// the report names it, and the notifier, which a stock Clair lets tick once a
// minute at most, tells it to the daemon's address.
func testNotify(t *testing.T, s *Sandbox) {
	told := make(chan string, 100)
	listener, err := net.Listen("tcp", s.DaemonAddr)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil {
			body = []byte(err.Error())
		}
		select {
		case told <- r.Method + " " + r.URL.Path + " " + string(body):
		default: // more than is looked at
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()

	digest := index(t, s, debianLayer(t))
	if err := s.ImportBundle(t.Context(), filepath.Join("testdata", "bundle.json")); err != nil {
		t.Fatal(err)
	}
	if report := mustGet(t, s.ClairURL+"/matcher/api/v1/vulnerability_report/"+digest); !strings.Contains(report, "CVE-2023-4911") {
		t.Errorf("the report does not name the vulnerability: %s", report)
	}
	select {
	case got := <-told:
		if callback := s.ClairURL + "/notifier/api/v1/notification/"; !strings.HasPrefix(got, "POST /notify ") || !strings.Contains(got, callback) {
			t.Errorf("the notifier told %s, want a callback below %s", got, callback)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("the notifier told nothing; Clair's log:\n%s", s.Process(Clair).Tail(tailLines))
	}
}

// debianLayer is a layer in which Clair finds a vulnerable Debian package.
func debianLayer(t *testing.T) v1.Layer {
	t.Helper()
	var text bytes.Buffer
	archive := tar.NewWriter(&text)
	for _, file := range []struct{ name, text string }{
		{"etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nNAME=\"Debian GNU/Linux\"\nVERSION=\"12 (bookworm)\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"},
		{"var/lib/dpkg/info/", ""},
		{"var/lib/dpkg/status", "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9+deb12u1\nMaintainer: GNU Libc Maintainers\nDescription: GNU C Library\n\n"},
	} {
		header := &tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.text)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(file.name, "/") {
			header.Mode, header.Typeflag = 0o755, tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(file.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// index pushes an image of one layer, has Clair index it and returns its digest.
func index(t *testing.T, s *Sandbox, layer v1.Layer) string {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(s.RegistryHost + "/team/debian:12")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	imageDigest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	layerDigest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf(`{"hash":%q,"layers":[{"hash":%q,"uri":"http://%s/v2/team/debian/blobs/%s"}]}`,
		imageDigest, layerDigest, s.RegistryHost, layerDigest)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.ClairURL+"/indexer/api/v1/index_report", strings.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || response.StatusCode != http.StatusCreated || !strings.Contains(string(body), "libc6") {
		t.Fatalf("indexing answered %s, %v: %s", response.Status, err, body)
	}
	return imageDigest.String()
}

func testDaemon(t *testing.T, s *Sandbox) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLAIRWATCH_OF_THE_USER", "1")
	first, err := s.StartDaemon(t.Context(), self, []string{"-x", "y"}, []string{roleVariable + "=daemon"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.StartDaemon(t.Context(), self, nil, []string{roleVariable + "=daemon"})
	if err != nil {
		t.Fatal(err)
	}
	if first.Name() != "daemon" || second.Name() != "daemon-2" {
		t.Errorf("the daemons are called %s and %s", first.Name(), second.Name())
	}
	awaitLog(t, first, `args ["-x" "y"] in daemon with`)
	if strings.Contains(first.Tail(10), "CLAIRWATCH_OF_THE_USER") {
		t.Errorf("the user's environment configures the daemon: %s", first.Tail(10))
	}
	if err := first.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(t.Context()); err != nil {
		t.Errorf("the daemon ended by %v", err)
	}
	if got := first.Tail(1); got != "ending in order" {
		t.Errorf("its last line is %q", got)
	}
	if err := first.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := first.Wait(t.Context()); !errors.As(err, &exit) {
		t.Errorf("the killed daemon ended by %v", err)
	}
	if first.PID() != 0 || second.PID() == 0 {
		t.Errorf("process ids %d of a dead daemon, %d of a living one", first.PID(), second.PID())
	}
	if err := first.Interrupt(); err == nil {
		t.Error("a dead daemon was interrupted")
	}
}

// awaitLog waits until a line of a process's log begins with what is wanted.
func awaitLog(t *testing.T, process *Process, want string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !slices.ContainsFunc(strings.Split(process.Tail(100), "\n"), func(line string) bool { return strings.HasPrefix(line, want) }) {
		select {
		case <-deadline:
			t.Fatalf("no line %q in the log:\n%s", want, process.Tail(100))
		case <-tick.C:
		}
	}
}

func testRestarts(t *testing.T, s *Sandbox) {
	ctx, state := t.Context(), s.ClairURL+"/indexer/api/v1/index_state"
	before := mustGet(t, state)

	clair := s.Process(Clair)
	pid := clair.PID()
	if err := clair.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if clair.PID() == pid {
		t.Error("Clair is the same process after a restart")
	}
	if after := mustGet(t, state); after != before {
		t.Errorf("index_state was %s, is %s", before, after)
	}

	if err := clair.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(ctx, state); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a killed Clair: %v, want a refused connection", err)
	}
	if err := clair.Start(ctx); err != nil {
		t.Fatal(err)
	}
	mustGet(t, state)
	if err := clair.Start(ctx); err == nil {
		t.Error("Clair was started twice")
	}

	if err := clair.Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, _, err := get(short, state); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused Clair: %v, want no answer", err)
	}
	if err := clair.Resume(); err != nil {
		t.Fatal(err)
	}
	mustGet(t, state)

	report := s.ClairURL + "/matcher/api/v1/vulnerability_report/sha256:" + strings.Repeat("0", 64)
	postgres := s.Process(Postgres)
	for name, end := range map[string]func() error{"stopped": postgres.Stop, "killed": postgres.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if status, body, err := get(ctx, report); err != nil || status < 400 {
			t.Errorf("Clair with Postgres %s: %d, %v, %s", name, status, err, body)
		}
		if err := postgres.Start(ctx); err != nil {
			t.Fatalf("Postgres after being %s: %v", name, err)
		}
	}
	if err := clair.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	mustGet(t, state)

	if err := postgres.Pause(); err != nil { // Stop has to end a frozen one, too
		t.Fatal(err)
	}
	if err := s.Process(APIServer).Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Process(Etcd).Restart(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestKilledParent kills the process that started a sandbox, which leaves it no
// chance to end anything itself.
func TestKilledParent(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), self)
	parent.Env = append(os.Environ(), roleVariable+"=parent")
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatal(errors.Join(err, parent.Wait()))
	}
	var left family
	if err := json.Unmarshal(line, &left); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(left.Dir); err != nil {
			t.Error(err)
		}
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the parent ended well")
	}
	if len(left.Processes) < 6 {
		t.Errorf("the parent had the processes %d, want at least a process for each part", left.Processes)
	}
	for _, pid := range left.Processes {
		if !ended(t, pid, 20*time.Second) {
			t.Errorf("process %d outlives its parent: %s", pid, commandLine(pid))
		}
	}
	// The next sandbox clears up.
	s := start(t, Registry)
	if _, err := os.Stat(left.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a killed sandbox is still there (%v)", err)
	}
	if s.ClairURL != "" || s.Process(Clair) != nil {
		t.Error("a part was started that was not asked for")
	}
}

// TestContextEnds proves that a sandbox ends with its context.
func TestContextEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := Start(ctx, Options{Parts: []Part{Registry}, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	registry := s.Process(Registry)
	cancel()
	if err := registry.Wait(t.Context()); err != nil {
		t.Logf("the registry ended by %v", err)
	}
	stop(t, s) // waits for the end that is under way
}

// TestKeep proves that a folder is kept where that is asked for, and not swept.
func TestKeep(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	s, err := Start(t.Context(), Options{Parts: []Part{Registry}, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(s.Dir); err != nil {
			t.Error(err)
		}
	})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	sweep()
	if _, err := os.Stat(s.Process(Registry).LogPath()); err != nil {
		t.Errorf("its log was not kept: %v", err)
	}
}
