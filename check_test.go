package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// webhookSecret is a part of each webhook here, which no output may hold.
const webhookSecret = "XXXX-secret-XXXX"

// apiStand is a Kubernetes API that answers what check asks.
type apiStand struct {
	t *testing.T
	// user is whom it takes us for, unless we impersonate another.
	user string
	// settings are the data of the ConfigMap; nil: there is none.
	settings map[string]string
	// allows says what is allowed.
	allows func(authorizationv1.ResourceAttributes) bool
	// lists has all that is allowed in a namespace.
	lists func(namespace string) authorizationv1.SubjectRulesReviewStatus
	// pods are the names of those that there are; confined says that a policy refuses to change them.
	pods     []string
	confined bool

	mu    sync.Mutex
	asked []authorizationv1.ResourceAttributes
}

func (a *apiStand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/apis/authentication.k8s.io/v1/selfsubjectreviews":
		user := a.user
		if as := r.Header.Get("Impersonate-User"); as != "" {
			user = as
		}
		a.answer(w, &authenticationv1.SelfSubjectReview{
			TypeMeta: metav1.TypeMeta{Kind: "SelfSubjectReview", APIVersion: "authentication.k8s.io/v1"},
			Status:   authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: user}},
		})
	case r.Method == http.MethodPost && r.URL.Path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
		var review authorizationv1.SelfSubjectAccessReview
		body, _ := io.ReadAll(r.Body) // in protobuf
		if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, &review); err != nil {
			a.t.Errorf("no review: %v", err)
			return
		}
		attributes := *review.Spec.ResourceAttributes
		a.mu.Lock()
		a.asked = append(a.asked, attributes)
		a.mu.Unlock()
		review.TypeMeta = metav1.TypeMeta{Kind: "SelfSubjectAccessReview", APIVersion: "authorization.k8s.io/v1"}
		review.Status.Allowed = a.allows(attributes)
		a.answer(w, &review)
	case r.Method == http.MethodPost && r.URL.Path == "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews":
		var review authorizationv1.SelfSubjectRulesReview
		body, _ := io.ReadAll(r.Body)
		if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, &review); err != nil {
			a.t.Errorf("no review: %v", err)
			return
		}
		review.TypeMeta = metav1.TypeMeta{Kind: "SelfSubjectRulesReview", APIVersion: "authorization.k8s.io/v1"}
		review.Status = a.lists(review.Spec.Namespace)
		a.answer(w, &review)
	case r.Method == http.MethodGet && r.URL.Path == "/api/v1/namespaces/clairwatch/configmaps":
		if r.URL.Query().Get("fieldSelector") != "metadata.name=clairwatch" { // or the daemon's Role would refuse it
			a.t.Errorf("asked for %s", r.URL)
		}
		list := &corev1.ConfigMapList{TypeMeta: metav1.TypeMeta{Kind: "ConfigMapList", APIVersion: "v1"}}
		if a.settings != nil {
			list.Items = []corev1.ConfigMap{{Data: a.settings}}
		}
		a.answer(w, list)
	case r.Method == http.MethodGet && r.URL.Path == "/api/v1/pods":
		list := &corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
		for _, name := range a.pods {
			list.Items = append(list.Items, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid"}})
		}
		a.answer(w, list)
	case r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/shop/pods/"):
		if r.URL.Query().Get("dryRun") != "All" { // a check changes nothing
			a.t.Errorf("asked to patch %s", r.URL)
		}
		name := path.Base(r.URL.Path)
		if !a.confined {
			a.answer(w, &corev1.Pod{TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		a.answer(w, &metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden,
			Message: fmt.Sprintf("pods %q is forbidden: ValidatingAdmissionPolicy 'clairwatch-annotate' with binding 'clairwatch-annotate' denied request: no", name),
		})
	default:
		a.t.Errorf("asked %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusNotFound)
	}
}

func (a *apiStand) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		a.t.Error(err)
	}
}

// kubeconfig starts the API and returns the file that leads there.
func (a *apiStand) kubeconfig(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return writeKubeconfig(t, s.URL)
}

func writeKubeconfig(t *testing.T, server string) string {
	t.Helper()
	return writeFile(t, "kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c,
  clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c, user: u}}],
  users: [{name: u, user: {token: %q}}]}`, server, scanPassword))
}

// manifestRules are those of deploy/clairwatch.yaml: of all namespaces, and of its own.
func manifestRules(t *testing.T, files ...string) (everywhere, own []rbacv1.PolicyRule) {
	t.Helper()
	for _, file := range files {
		for doc := range strings.SplitSeq(read(t, file), "\n---\n") {
			var role struct {
				Kind  string
				Rules []rbacv1.PolicyRule
			}
			if err := yaml.Unmarshal([]byte(doc), &role); err != nil {
				t.Fatal(err)
			}
			switch role.Kind {
			case "ClusterRole":
				everywhere = append(everywhere, role.Rules...)
			case "Role":
				own = append(own, role.Rules...)
			}
		}
	}
	return everywhere, own
}

// byManifest allows what the rules of files of deploy do, as RBAC has it.
func byManifest(t *testing.T, files ...string) func(authorizationv1.ResourceAttributes) bool {
	everywhere, own := manifestRules(t, files...)
	return func(a authorizationv1.ResourceAttributes) bool {
		rules := everywhere
		if a.Namespace == "clairwatch" {
			rules = append(rules[:len(rules):len(rules)], own...)
		}
		return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, a.Group) && slices.Contains(r.Resources, a.Resource) && slices.Contains(r.Verbs, a.Verb) &&
				(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.Name))
		})
	}
}

// listed has the rules of files of deploy, those that everybody has, and more that somebody has granted in the cluster.
func listed(t *testing.T, files []string, more ...rbacv1.PolicyRule) func(namespace string) authorizationv1.SubjectRulesReviewStatus {
	everywhere, own := manifestRules(t, files...)
	everywhere = slices.Concat(everywhere, more, []rbacv1.PolicyRule{
		{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}, Verbs: []string{"create"}},
		{NonResourceURLs: []string{"/healthz", "/livez", "/readyz", "/version", "/version/"}, Verbs: []string{"get"}},
	})
	return func(namespace string) authorizationv1.SubjectRulesReviewStatus {
		rules := everywhere
		if namespace == "clairwatch" {
			rules = slices.Concat(everywhere, own)
		}
		return statusOf(rules)
	}
}

// statusOf is how the API lists rules.
func statusOf(rules []rbacv1.PolicyRule) authorizationv1.SubjectRulesReviewStatus {
	var s authorizationv1.SubjectRulesReviewStatus
	for _, r := range rules {
		if len(r.NonResourceURLs) > 0 {
			s.NonResourceRules = append(s.NonResourceRules, authorizationv1.NonResourceRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		} else {
			s.ResourceRules = append(s.ResourceRules, authorizationv1.ResourceRule{Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames})
		}
	}
	return s
}

const (
	daemon     = "system:serviceaccount:clairwatch:clairwatch"
	manifestOf = "deploy/clairwatch.yaml"
)

// TestRightsAreThoseOfTheManifest asks for each right of deploy/clairwatch.yaml, and for no other.
func TestRightsAreThoseOfTheManifest(t *testing.T) {
	annotating := defaults()
	annotating.AnnotatePods = true
	t.Run("by default", func(t *testing.T) { rightsAreThoseOf(t, defaults(), manifestOf) })
	t.Run("with annotations", func(t *testing.T) { rightsAreThoseOf(t, annotating, manifestOf, annotateFile) })
}

func rightsAreThoseOf(t *testing.T, cfg Config, files ...string) {
	everywhere, own := manifestRules(t, files...)
	want := make(map[string]bool)
	expand := func(namespace string, rules []rbacv1.PolicyRule) {
		for _, r := range rules {
			names := r.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, name := range names {
				for _, verb := range r.Verbs {
					for _, resource := range r.Resources {
						want[fmt.Sprint(namespace, " ", r.APIGroups[0], " ", resource, " ", name, " ", verb)] = true
					}
				}
			}
		}
	}
	expand("", everywhere)
	expand("clairwatch", own)
	got := make(map[string]bool)
	for _, r := range neededRights(cfg, "clairwatch") {
		for _, name := range append(r.names[:len(r.names):len(r.names)], slices.Repeat([]string{""}, max(0, 1-len(r.names)))...) {
			for _, verb := range r.verbs {
				got[fmt.Sprint(r.namespace, " ", r.group, " ", r.resource, " ", name, " ", verb)] = true
			}
		}
	}
	for right := range want {
		if !got[right] {
			t.Errorf("the manifest grants %s, which is not checked", right)
		}
	}
	for right := range got {
		if !want[right] {
			t.Errorf("%s is checked, which the manifest does not grant", right)
		}
	}
	if len(want) < 70 {
		t.Errorf("only %d rights", len(want))
	}
}

// scannerOf is a Scanner as the settings have it.
func scannerOf(clairURL, webhook, more string) string {
	return fmt.Sprintf("clairBaseUrl: %s\nslackWebhookUrl: %s\n%s", clairURL, webhook, more)
}

func webhook(token string) string {
	return "https://hooks.slack.com" + slackstand.Path(token+"-"+webhookSecret)
}

// check runs clairwatch check in a folder of its own, in which it has written the files.
func check(t *testing.T, files map[string]string, args ...string) said {
	t.Helper()
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(folder)
	s := clairwatch(t, files["stdin"], append([]string{"check"}, args...)...)
	t.Chdir(home)
	s.harmless(t)
	s.keepsSecrets(t)
	return s
}

// secrets are what no output may hold.
func (s said) keepsSecrets(t *testing.T) {
	t.Helper()
	for _, secret := range []string{webhookSecret, scanPassword, base64.StdEncoding.EncodeToString([]byte("reader:" + scanPassword))} {
		if strings.Contains(s.out+s.errs, secret) {
			t.Errorf("%s is in the output:\n%s%s", secret, s.out, s.errs)
		}
	}
}

// setUp is a config, settings and servers that are as they should be.
func setUp(t *testing.T) (files map[string]string, api *apiStand, settings map[string]string) {
	t.Helper()
	stand := &clairStand{t: t, clock: settledClock}
	address := stand.serve(t)
	images := httptest.NewServer(guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			t.Errorf("asked a registry for %s", r.URL)
		}
		w.WriteHeader(http.StatusUnauthorized)
	})))
	t.Cleanup(images.Close)
	folder := t.TempDir()
	token := filepath.Join(folder, "token")
	if err := os.WriteFile(token, []byte(scanPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	settings = map[string]string{
		"shop":     scannerOf(address+"one", webhook("shop"), ""),
		"checkout": scannerOf(address+"one/", webhook("shop"), "minSeverity: High\nignore: [{id: CVE-2023-4911, package: glibc, image: shop/*, reason: not reachable, until: 2999-03-01}]\n"),
		"platform": "- " + strings.ReplaceAll(strings.TrimSpace(scannerOf(address+"one", webhook("platform"), "")), "\n", "\n  ") +
			"\n- name: on-call\n  " + "clairBaseUrl: " + address + "two\n  slackWebhookFile: on-call\n  minSeverity: Critical\n  tell: {indexed: true, removed: false}\n",
	}
	files = map[string]string{
		"on-call": webhook("on-call") + "\n",
		"config.yaml": fmt.Sprintf("cluster: prod-eu\nnotifyTokenFile: %s\nwebhookFolder: .\ndockerConfig: docker.json\nclairs:\n- url: %sone\nregistries:\n- host: registry.example\n  endpoint: %s\n",
			token, address, images.URL),
		"docker.json": fmt.Sprintf(`{"auths": {"quay.io": {"auth": %q}, "https://index.docker.io/v1/": {"username": "reader", "password": %q}}}`,
			base64.StdEncoding.EncodeToString([]byte("reader:"+scanPassword)), scanPassword),
	}
	api = &apiStand{t: t, user: daemon, settings: settings, allows: byManifest(t, manifestOf), lists: listed(t, []string{manifestOf})}
	return files, api, settings
}

func TestCheck(t *testing.T) {
	files, api, _ := setUp(t)
	args := []string{"--config", "config.yaml", "--namespace", "clairwatch", "--kubeconfig", api.kubeconfig(t)}
	s := check(t, files, args...)
	s.golden(t, "check")
	if s.code != 0 {
		t.Errorf("exit code %d", s.code)
	}
	check(t, files, append(args, "-o", "json")...).golden(t, "check-json")
}

// TestCheckFindsMistakes has all kinds of mistakes at once.
func TestCheckFindsMistakes(t *testing.T) {
	files, api, settings := setUp(t)
	settings["payments"] = scannerOf("http://clair.clair:6000/", webhook("payments"), "minSeverity: Hgh\ncolour: red\n")
	settings["legacy"] = "slackWebhookUrl: http://hooks.slack.com" + slackstand.Path(webhookSecret) + "\nclairBaseUrl: " + webhook("x") + "\n"
	settings["broken"] = "clairBaseUrl: [" + webhook("x")
	settings["Web_Team"] = ""
	settings["away"] = scannerOf("http://127.0.0.1:1/", webhook("away"), "")
	allowed := byManifest(t, manifestOf, "deploy/pull-secrets-cluster.yaml")
	api.allows = func(a authorizationv1.ResourceAttributes) bool {
		switch {
		case a.Resource == "nodes" && a.Verb == "watch", a.Resource == "leases", a.Verb == "patch" && strings.HasSuffix(a.Name, "-7"):
			return false
		}
		return allowed(a)
	}
	api.lists = listed(t, []string{manifestOf, "deploy/pull-secrets-cluster.yaml"}, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"delete"}})
	files["config.yaml"] = fmt.Sprintf("notifyTokenFile: /none/token\nwebhookFolder: .\ndockerConfig: docker.json\nclairs:\n- url: http://unused.example:1/\n  pskFile: /none/psk\nregistries:\n- host: gone.example\n  endpoint: %s\n- host: store.example\n  endpoint: %s\n",
		strings.TrimSuffix(gone(t), "/"), strings.TrimSuffix((&clairStand{t: t, clock: settledClock}).serve(t), "/"))
	files["docker.json"] = `{"auths": {"ghcr.io": {}, "https://reader:` + scanPassword + `@quay.io/x": {"username": "a", "password": "b"}}, "credHelpers": {"aws.example": "no-such-helper", "b.example": "../../bin/sh"}, "credsStore": "desktop"}`
	s := check(t, files, "--config", "config.yaml", "--namespace", "clairwatch", "--kubeconfig", api.kubeconfig(t))
	s.golden(t, "check-mistakes")
	if s.code != exitFound {
		t.Errorf("exit code %d", s.code)
	}
}

// inheriting are settings with _defaults and _all, files with webhooks, and ignores that end.
func inheriting(address string) map[string]string {
	const ignore = "ignore: [{id: CVE-2020-0001, until: 2020-03-01}, {package: glibc}, {id: CVE-2020-0002, package: curl, until: \"2020-03-01T12:00:00Z\"}]\n"
	return map[string]string{
		"_defaults": "clairBaseUrl: " + address + "one\n" + ignore,
		"_all":      "slackWebhookFile: platform\n",
		"checkout":  "- slackWebhookFile: checkout\n  ignore: []\n- name: on-call\n  slackWebhookFile: platform\n  ignore:\n  - {id: CVE-2021-0003, until: 2021-01-01, image: shop/*}\n",
		"shop":      "slackWebhookUrl: " + webhook("shop") + "\n",
		"quiet":     "# nobody\n",
		"missing":   "slackWebhookFile: none\n",
		"wrong":     "- slackWebhookFile: platform\n- name: second\n  slackWebhookFile: no-webhook\n",
	}
}

// asFile is the text of a file with settings.
func asFile(t *testing.T, data map[string]string) string {
	t.Helper()
	text, err := yaml.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCheckInherited has what is said of keys that are for all namespaces, of files with webhooks and of ignores.
func TestCheckInherited(t *testing.T) {
	address := (&clairStand{t: t, clock: settledClock}).serve(t)
	files := map[string]string{
		"config.yaml": "dockerConfig: ''\nwebhookFolder: .\nclairs: [{url: " + address + "one/}]\n",
		"platform":    webhook("platform") + "\n", "checkout": webhook("checkout"), "no-webhook": webhookSecret,
	}
	run := func(golden string, data map[string]string, args ...string) {
		t.Helper()
		files["settings.yaml"] = asFile(t, data)
		check(t, files, append([]string{"--config", "config.yaml", "-f", "settings.yaml"}, args...)...).golden(t, golden)
	}
	data := inheriting(address)
	run("check-inherited", data)
	run("check-no-folder", data, "--webhook-folder", "/none")
	run("check-folder-off", data, "--webhook-folder", "")
	data["_all"] = ""
	data["_defaults"] += "minSeverity: Hgh\n"
	data["shop"] += "colour: red\n"
	run("check-defaults-mistake", data)
	data = map[string]string{"_all": "slackWebhookFile: x", "shop": "", "_other": ""}
	run("check-all-mistake", data)
}

// TestCheckWritten has what is said of how a file is written: each mistake with its line there, and what is no text.
func TestCheckWritten(t *testing.T) {
	const webhookUrl = "slackWebhookUrl: https://hooks.slack.com" // the rest is a secret
	shop := scannerOf("http://clair.clair:6000/", webhook("shop"), "tell: {removed: false}\nremoved: true\n\n# what matters\n minSeverity: High\n")
	file := `apiVersion: v1
kind: ConfigMap
metadata:
  name: clairwatch
data:
  _defaults:
    clairBaseUrl: http://clair.clair:6000/
    minSeverity: Medium
    ignore: [{package: glibc}]
  blog: |
    ` + webhookUrl + slackstand.Path("blog-"+webhookSecret) + `
    # of the blog
    minSeverity: Hgh
    removed: false
    removed: true
  docs:
    ` + webhookUrl + slackstand.Path("docs-"+webhookSecret) + `
    until: 2027-03-01
  fold: >
    ` + webhookUrl + slackstand.Path("fold-"+webhookSecret) + `
    minSeverity: High
  good: |
    ` + webhookUrl + slackstand.Path("good-"+webhookSecret) + `
    look: {init: false}
  line: "{minSeverity: Hgh, slackWebhookFile: x}"
  number: 5
  shop: |
    ` + strings.ReplaceAll(strings.TrimSpace(shop), "\n", "\n    ") + "\n"
	s := check(t, map[string]string{"settings.yaml": file}, "--offline", "--docker-config", "", "-f", "settings.yaml")
	s.golden(t, "check-written")
	s = check(t, map[string]string{"stdin": file}, "--offline", "--docker-config", "", "-f", "-")
	if want := "blog.minSeverity (line 3 of the key, line 13 of the input): "; !strings.Contains(s.out, want) {
		t.Errorf("%s is not in\n%s", want, s.out)
	}
}

// TestCheckDefaultsNoText goes on with what was meant, where what all inherit is no text.
func TestCheckDefaultsNoText(t *testing.T) {
	s := check(t, map[string]string{"settings.yaml": "_defaults: {clairBaseUrl: http://clair.clair:6000/, colour: red}\nshop: 'slackWebhookUrl: " + webhook("shop") + "'\n_all:\n"},
		"--offline", "--docker-config", "", "-f", "settings.yaml")
	s.golden(t, "check-defaults-no-text")
}

// An empty file is not a ConfigMap that is missing among others, and an empty webhook is not a wrong one.
func TestCheckEmptyFiles(t *testing.T) {
	files := map[string]string{"settings.yaml": "shop: |\n  clairBaseUrl: http://clair.clair:6000/\n  slackWebhookFile: none.txt\n", "none.txt": "\n", "empty.yaml": " \n"}
	for file, want := range map[string]string{
		"empty.yaml":    "PROBLEM  it is empty: want the YAML of a ConfigMap, or its data",
		"settings.yaml": "shop.slackWebhookFile (line 2 of the key, line 3 of settings.yaml): the file none.txt is empty: put the address of the webhook into the key none.txt of the Secret that is mounted there",
	} {
		s := check(t, files, "--offline", "--docker-config", "", "--webhook-folder", ".", "-f", file)
		if !strings.Contains(s.out, want) || s.code != exitFound {
			t.Errorf("%s: exit code %d, %q is not in\n%s", file, s.code, want, s.out)
		}
	}
}

// Who has a look hears of what ends within a week.
func TestCheckIgnoresThatEnd(t *testing.T) {
	now := time.Date(2027, 2, 27, 15, 0, 0, 0, time.UTC)
	text := "- {name: first, ignore: []}\n- ignore:\n"
	for _, until := range []string{"2027-02-27", "2027-02-28", "2027-03-06T15:00:00Z", "2027-03-06T15:00:01Z", "2027-02-27T16:00:00+01:00", "null"} {
		text += "  - {id: A, package: p, until: " + until + "}\n"
	}
	all, wrong := settings.Parse(map[string]string{"_defaults": scannerOf("http://a/", webhook("x"), ""), "shop": text}, settings.Rules{})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	c := &checkup{options: checkOptions{settingsFile: "s.yaml"}}
	got := c.ends("w", all["shop"][1], writtenValue{line: 9, before: 9}, now)
	want := []row{
		{"w", isWarning, "shop[1].ignore[0] (line 3 of the key, line 12 of s.yaml): A p: it ended on 2027-02-27, so its findings are told: take it out, or decide anew"},
		{"w", isInfo, "shop[1].ignore[1] (line 4 of the key, line 13 of s.yaml): A p: it ends on 2027-02-28; from then on its findings are told"},
		{"w", isInfo, "shop[1].ignore[2] (line 5 of the key, line 14 of s.yaml): A p: it ends on 2027-03-06T15:00:00Z; from then on its findings are told"},
		{"w", isWarning, "shop[1].ignore[4] (line 7 of the key, line 16 of s.yaml): A p: it ended on 2027-02-27T15:00:00Z, so its findings are told: take it out, or decide anew"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestCheckStumbles has what a new user writes into a manifest.
func TestCheckStumbles(t *testing.T) {
	const head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: clairwach\ndata:\n"
	hook := "slackWebhookUrl: https://hooks.slack.com" + slackstand.Path("all-"+webhookSecret) + "\n"
	const clairAt = "clairBaseUrl: http://clair.clair:6000/\n"
	for golden, file := range map[string]string{
		// kubectl apply drops null; nothing is indented below web; and two keys are like fields.
		"check-no-value": head + "  _all: |\n    " + clairAt + "    " + hook + "  _defaults:\n  shop:\n  docs: ~ # not us\n  quiet: ''\n" +
			"  web:\n  " + clairAt + "  onlyFixable: true\n  backend: clair\n  Web_Team: x\n",
		"check-no-value-no-all": head + "  shop:\n",
		"check-tell-off": head + "  _defaults: |\n    " + clairAt + "    " + hook + "    tell: {report: false, disclosed: false, removed: false}\n" +
			"  shop: |\n    # nothing at all\n    tell: {failed: false}\n  some: |\n    minSeverity: High\n" +
			"  two: |\n    - name: a\n      tell: {failed: false}\n    - name: b\n",
		"check-all-mistaken": head + "  shop: |\n    minSeverity: High\n  blog: text\n",
	} {
		t.Run(golden, func(t *testing.T) {
			check(t, map[string]string{"settings.yaml": file}, "--offline", "--docker-config", "", "-f", "settings.yaml").golden(t, golden)
		})
	}
}

// TestCheckBrokenConfig says all that is wrong with a config, and goes on where it can be read at all.
func TestCheckBrokenConfig(t *testing.T) {
	for golden, config := range map[string]string{
		"check-config-unreadable": "a: b: c",
		"check-config-wrong-type": "workers: many\nlisen: x\n",
		"check-config-mistakes":   "workers: 0\ngrace: -1s\nclairs: [{url: clair}, {url: http://a.example:1/, pskFile: " + webhookSecret + "}]\nregistries: [{host: a/b}]\nnotifyTokenFile: " + webhookSecret + "\n",
	} {
		t.Run(golden, func(t *testing.T) {
			s := check(t, map[string]string{"config.yaml": config, "settings.yaml": "{}"}, "--config", "config.yaml", "-f", "settings.yaml")
			s.golden(t, golden)
			if s.code != exitFound {
				t.Errorf("exit code %d", s.code)
			}
		})
	}
}

// TestCheckRightsOfAPerson looks at the rights of who asks, and says whose they are; --as looks at the daemon's.
func TestCheckRightsOfAPerson(t *testing.T) {
	_, api, _ := setUp(t)
	api.user, api.settings = "jane", map[string]string{}
	api.allows = func(authorizationv1.ResourceAttributes) bool { return true }
	api.lists = func(string) authorizationv1.SubjectRulesReviewStatus {
		all := []string{"*"}
		return statusOf([]rbacv1.PolicyRule{{APIGroups: all, Resources: all, Verbs: all}, {NonResourceURLs: all, Verbs: all}, {APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}})
	}
	args := []string{"--docker-config", "", "--namespace", "clairwatch", "--kubeconfig", api.kubeconfig(t)}
	check(t, nil, args...).golden(t, "check-person")
	check(t, nil, append(args, "--as", daemon)...).golden(t, "check-admin")
}

// TestCheckAnnotating has what is said of the right to annotate pods.
func TestCheckAnnotating(t *testing.T) {
	const right, policy = "right to annotate pods", "policy on pods"
	for name, c := range map[string]struct {
		annotates, granted, confined bool
		user                         string
		pods                         []string
		want                         map[string]string // by what
		code                         int
	}{
		"on, granted and confined": {true, true, true, daemon, []string{"a", "b"}, map[string]string{
			right: "ok patch", policy: "ok it refuses all but annotations that begin with reported.clairwatch.io/", beyond: "ok none in the cluster, nor in the 3 namespaces clairwatch, default, kube-system; others were not looked at"}, 0},
		"on, not granted": {true, false, false, daemon, []string{"a"}, map[string]string{
			right: "PROBLEM not allowed: patch; kubectl apply -f deploy/annotate.yaml grants it", policy: "skipped there is nothing to confine", beyond: "ok none in the cluster, nor in the 3 namespaces clairwatch, default, kube-system; others were not looked at"}, exitFound},
		"on, not confined": {true, true, false, daemon, []string{"a"}, map[string]string{
			right: "ok patch", policy: "PROBLEM changing a label of pods: the policy clairwatch-annotate does not refuse it, so no pod is annotated; kubectl apply -f deploy/annotate.yaml confines it; if you have just applied it, ask again in a few seconds", beyond: "ok none in the cluster, nor in the 3 namespaces clairwatch, default, kube-system; others were not looked at"}, exitFound},
		"on, no pod": {true, true, true, daemon, nil, map[string]string{
			right: "ok patch", policy: "WARNING it cannot be tried whether the right is confined: there is no pod to try it on", beyond: "ok none in the cluster, nor in the 3 namespaces clairwatch, default, kube-system; others were not looked at"}, 0},
		"on, asked by a person": {true, true, false, "jane", []string{"a"}, map[string]string{
			right: "ok patch", policy: "", beyond: "skipped these are the rights of jane"}, 0},
		"off, not granted": {false, false, false, daemon, []string{"a"}, map[string]string{right: "", policy: "", beyond: "ok none in the cluster, nor in the 3 namespaces clairwatch, default, kube-system; others were not looked at"}, 0},
		"off, granted and confined": {false, true, true, daemon, []string{"a"}, map[string]string{
			right: "", policy: "", beyond: "info it may annotate pods, as deploy/annotate.yaml grants and confines it, and does not: annotatePods is false"}, 0},
		"off, not confined": {false, true, false, daemon, []string{"a"}, map[string]string{
			right: "", policy: "", beyond: "WARNING it may patch pods in the cluster: take that away"}, 0},
		"off, no pod": {false, true, true, daemon, nil, map[string]string{
			right: "", policy: "", beyond: "WARNING it may patch pods, and does not: annotatePods is false; it cannot be tried whether that is confined as deploy/annotate.yaml has it: there is no pod to try it on"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, api, _ := setUp(t)
			api.user, api.settings, api.pods, api.confined = c.user, map[string]string{}, c.pods, c.confined
			if c.granted {
				api.allows, api.lists = byManifest(t, manifestOf, annotateFile), listed(t, []string{manifestOf, annotateFile})
			}
			s := check(t, map[string]string{"config.yaml": fmt.Sprintf("annotatePods: %v\n", c.annotates)},
				"--config", "config.yaml", "--docker-config", "", "--namespace", "clairwatch", "--kubeconfig", api.kubeconfig(t))
			if s.code != c.code {
				t.Errorf("exit code %d", s.code)
			}
			for what, want := range c.want {
				got := ""
				for line := range strings.Lines(s.out) {
					if found, is := strings.CutPrefix(line, what+"  "); is {
						got += strings.Join(strings.Fields(found), " ")
					}
				}
				if !strings.HasPrefix(got, want) || want == "" && got != "" {
					t.Errorf("%s: got %q, want %q", what, got, want)
				}
			}
		})
	}
}

func TestCheckWithoutCluster(t *testing.T) {
	for golden, args := range map[string][]string{
		"check-no-cluster":      nil,
		"check-no-namespace":    {"--kubeconfig", writeKubeconfig(t, gone(t))},
		"check-no-api":          {"--kubeconfig", writeKubeconfig(t, gone(t)), "--namespace", "clairwatch"},
		"check-file":            {"--settings-file", "settings.yaml"},
		"check-file-missing":    {"--settings-file", "none.yaml"},
		"check-file-no-cluster": {"--settings-file", "settings.yaml", "--kubeconfig", "/none"},
	} {
		t.Run(golden, func(t *testing.T) {
			s := check(t, map[string]string{"settings.yaml": "data:\n  shop: ''\n"}, append(args, "--docker-config", "")...)
			s.golden(t, golden)
		})
	}
}

// TestCheckConfigMapMissing says how to make one.
func TestCheckConfigMapMissing(t *testing.T) {
	_, api, _ := setUp(t)
	api.settings = nil
	s := check(t, nil, "--docker-config", "", "--namespace", "clairwatch", "--kubeconfig", api.kubeconfig(t))
	if !strings.Contains(s.out, "it does not exist: kubectl apply -f deploy/clairwatch.yaml makes it") || s.code != exitFound {
		t.Errorf("%+v", s)
	}
}

// The flags of a Deployment are taken as they are.
func TestCheckTakesTheFlagsOfTheDaemon(t *testing.T) {
	s := check(t, map[string]string{"stdin": "{}"}, "-f", "-", "--docker-config", "", "--group-wait", "5m", "--group-max", "1m")
	if want := "groupMax: 1m0s: want at least groupWait, 5m0s"; !strings.Contains(s.out, want) || s.code != exitFound {
		t.Errorf("%+v", s)
	}
}

// sends runs check --send against a stand-in for Slack.
func sends(t *testing.T, data map[string]string, transport http.RoundTripper) []row {
	t.Helper()
	c := &checkup{options: checkOptions{settingsFile: "-", send: true}, cfg: defaults(), input: strings.NewReader(asFile(t, data)), slackTransport: transport}
	c.cfg.Cluster = "prod-eu"
	found := c.readSettings(t.Context(), cluster{})
	return c.checkWebhooks(t.Context(), found)
}

// Each channel gets one message, whatever the number of its namespaces.
func TestCheckSends(t *testing.T) {
	slackAt := slackstand.ServePipe(slackstand.Config{Every: -1})
	defer slackAt.Close()
	const at = "http://clair.example:6000/"
	data := map[string]string{
		"shop": scannerOf(at, webhook("shop"), ""), "checkout": scannerOf(at, webhook("shop"), ""), "web": scannerOf(at, webhook("web"), ""),
		"_all": scannerOf(at, webhook("web"), ""), "quiet": "", "_defaults": "minSeverity: Low",
		"old": scannerOf(at, "https://hooks.slack.com"+slackstand.Path("no-service"), ""), "wrong": "backend: none",
	}
	var b bytes.Buffer
	err := writeChecks(&b, formTable, checkDocument{Checks: sends(t, data, slackAt.Transport)})
	s := said{out: b.String(), errs: err.Error() + "\n", code: exitCode(err)}
	s.golden(t, "check-send")
	s.keepsSecrets(t)
	var texts []string
	for _, token := range []string{"shop", "web"} {
		for _, m := range slackAt.Messages(slackstand.Path(token + "-" + webhookSecret)) {
			texts = append(texts, slackstand.Render(m, slackstand.Style{}))
		}
	}
	slices.Sort(texts)
	want := []string{"clairwatch: this channel hears of the namespace `web`, and of all namespaces without settings of", "clairwatch: this channel hears of the namespaces `checkout`, `shop`"}
	if len(texts) != len(want) {
		t.Fatalf("got %q", texts)
	}
	for i := range want {
		if !strings.Contains(texts[i], want[i]) || !strings.Contains(texts[i], "prod-eu") {
			t.Errorf("got %q, want %q", texts[i], want[i])
		}
	}
}

// A thing that hangs is given up, and all others are tried.
func TestCheckClairThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), checkTime)
		defer cancel()
		rows := checkClair(ctx, "Clair http://a/", hangingClair{}, began)
		if len(rows) != 1 || rows[0].Outcome != isProblem || !strings.HasPrefix(rows[0].Found, "no answer within 15s") {
			t.Errorf("got %+v", rows)
		}
	})
}

// hangingClair never answers.
type hangingClair struct{ *clair.Client }

func (hangingClair) State(ctx context.Context) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

// aWeekLater is an answer with dates of a week after it was recorded.
func aWeekLater(e exchange) exchange {
	e.Body = bytes.ReplaceAll(e.Body, []byte("2026-11-23T"), []byte("2026-11-30T"))
	return e
}

// TestCheckClairs has what is said of each state that a Clair can be in.
func TestCheckClairs(t *testing.T) {
	recording := func(name string) exchange { return recordedExchange(t, name) }
	for name, c := range map[string]struct {
		state, vulnerabilities, enrichments exchange
		clock                               string
		outcome                             outcome
		found                               string
	}{
		"fine": {recording("state"), recording("updates-vulnerability"), recording("updates-enrichment"), settledClock, isOK,
			"answers, index_state cb31df8269833698891b35a63251a81a; data of 3 sources, the newest 2 hours old"},
		"new": {recording("state"), recording("updates-vulnerability"), recording("updates-enrichment"), "", isOK,
			"answers, index_state cb31df8269833698891b35a63251a81a; data of 3 sources, the newest just now"},
		"stale": {recording("state"), recording("updates-vulnerability"), recording("updates-enrichment"), "Sat, 28 Nov 2026 02:41:20 GMT", isWarning,
			"answers, index_state cb31df8269833698891b35a63251a81a; data of 3 sources, the newest 5 days old: see whether its updaters reach their sources"},
		"stale, with new scores": {recording("state"), recording("updates-vulnerability"), aWeekLater(recording("updates-enrichment")), "Mon, 30 Nov 2026 02:41:20 GMT", isWarning,
			"answers, index_state cb31df8269833698891b35a63251a81a; data of 3 sources, the newest 7 days old: see whether its updaters reach their sources"},
		"nothing but scores": {recording("state"), recording("updates-none"), recording("updates-enrichment"), "", isWarning,
			"answers, index_state cb31df8269833698891b35a63251a81a; it has no vulnerability data: it is still loading it, or has no updaters"},
		"empty": {recording("state"), recording("updates-none"), recording("updates-none"), "", isWarning,
			"answers, index_state cb31df8269833698891b35a63251a81a; it has no vulnerability data: it is still loading it, or has no updaters"},
		"hidden": {recording("state"), recording("no-such-path"), recording("no-such-path"), "", isInfo,
			"answers, index_state cb31df8269833698891b35a63251a81a; what data it has is hidden, so images are looked at again every refresh"},
		"no Clair": {recording("no-such-path"), recording("no-such-path"), recording("no-such-path"), "", isProblem,
			"something answers there that has neither an indexer nor a matcher: see whether the address is right, path included"},
		"refuses": {recording("unauthorized"), recording("unauthorized"), recording("unauthorized"), "", isProblem,
			"asking for the indexer's state: Clair refuses the request; set clairs[].pskFile and clairs[].issuer by its auth.psk, and check that its clock and ours agree (status 401)"},
		"database down": {recording("state"), recording("report-database-down"), recording("report-database-down"), "", isProblem,
			"answers, index_state cb31df8269833698891b35a63251a81a; listing the updates of Clair's data: Clair cannot be reached or answers with an error; check that it and its database run (status 500)"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				e := c.state
				switch r.URL.Query().Get("kind") {
				case "vulnerability":
					e = c.vulnerabilities
				case "enrichment":
					e = c.enrichments
				}
				if c.clock != "" && e.Header != nil {
					e.Header.Set("Date", c.clock)
				}
				e.answer(w, e.Body)
			}))
			defer server.Close()
			client, err := clairClients(defaults())(server.URL + "/")
			if err != nil {
				t.Fatal(err)
			}
			rows := checkClair(t.Context(), "Clair", client, time.Now())
			if want := []row{{"Clair", c.outcome, c.found}}; !slices.Equal(rows, want) {
				t.Errorf("got  %+v\nwant %+v", rows, want)
			}
		})
	}
}

func TestRegistryAddress(t *testing.T) {
	for want, r := range map[string]registry.Registry{
		"https://quay.io":               {Host: "quay.io"},
		"https://registry-1.docker.io":  {Host: "Docker.io"},
		"http://localhost:5001":         {Host: "localhost:5001", Insecure: true},
		"http://kind-registry:5000":     {Host: "localhost:5001", Endpoint: "http://kind-registry:5000"},
		"https://mirror.example.com":    {Host: "docker.io", Endpoint: "https://mirror.example.com/hub/"},
		"https://mirror.example.com:80": {Host: "a", Endpoint: "https://mirror.example.com:80", Insecure: true},
	} {
		if got := registryAddress(r); got != want {
			t.Errorf("%+v: got %s, want %s", r, got, want)
		}
	}
}

func TestCheckDockerConfig(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "docker-credential-here")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	large := filepath.Join(folder, "large")
	if err := os.WriteFile(large, make([]byte, dockerConfigLimit+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]row{
		"":                      {"docker config", isInfo, "there is none (dockerConfig): images of private registries need image pull secrets"},
		defaults().DockerConfig: {"docker config " + defaults().DockerConfig, isInfo, "there is none: images of private registries need image pull secrets"},
		"/none/config.json":     {"docker config /none/config.json", isWarning, "there is none: see whether dockerConfig is right"},
		folder:                  {"docker config " + folder, isProblem, "it cannot be read: is a directory"},
		large:                   {"docker config " + large, isProblem, "it has more than 1 MiB"},
	} {
		c := checkup{cfg: Config{DockerConfig: path}}
		if got := c.checkDockerConfig(); !slices.Equal(got, []row{want}) {
			t.Errorf("%s: got %+v", path, got)
		}
	}
	for text, want := range map[string][]row{
		"{}":          {{"d", isOK, "credentials for no registry"}},
		"[]":          {{"d", isProblem, "it is not the JSON of a docker config: docker login writes one"}},
		webhookSecret: {{"d", isProblem, "it is not the JSON of a docker config: docker login writes one"}},
		`{"auths": {"a.example": {"auth": "!"}}}`:            {{"d", isOK, "credentials for no registry"}, {"d", isWarning, "no user name and password for a.example"}},
		`{"auths": {"a.example": {}}, "credsStore": "here"}`: {{"d", isOK, "credentials for no registry"}, {"d", isOK, "docker-credential-here for all other registries (not run)"}},
		`{"credsStore": "gone"}`:                             {{"d", isOK, "credentials for no registry"}, {"d", isInfo, "docker-credential-gone, for all other registries, is not here: put it into the PATH of the image, or write the credentials themselves under auths"}},
		`{"credHelpers": {"a.example": "gone", "b.example": "here", "c.example": "/bin/sh"}}`: {
			{"d", isOK, "credentials for no registry"},
			{"d", isProblem, "docker-credential-gone, for a.example, is not here: put it into the PATH of the image, or write the credentials themselves under auths"},
			{"d", isOK, "docker-credential-here for b.example (not run)"},
			{"d", isProblem, "the credential helper for c.example is no name of a program"},
		},
	} {
		if got := describeDockerConfig("d", []byte(text)); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", text, got, want)
		}
	}
}

// Who ends it hears that it was stopped.
func TestCheckStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := command(io.Discard)
	cmd.SetArgs([]string{"check", "-f", "-", "--docker-config", ""})
	cmd.SetIn(strings.NewReader("{}"))
	var out bytes.Buffer
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(ctx); err == nil || err.Error() != "stopped before all was tried" || out.Len() > 0 {
		t.Errorf("got %v, %q", err, out.String())
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "just now", time.Minute: "just now", 2 * time.Minute: "2 minutes old", 119 * time.Minute: "119 minutes old",
		2 * time.Hour: "2 hours old", 47 * time.Hour: "47 hours old", 48 * time.Hour: "2 days old", 1000 * time.Hour: "41 days old",
	} {
		if got := ago(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

// Files of the daemon that cannot be where nothing is contacted are no mistakes; one that lacks in a folder that is there is.
func TestCheckOfflineFiles(t *testing.T) {
	const notify, docker, webhooks = "who may call /notify", "docker config", "(webhookFolder)"
	folder := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	token, key := write("token", scanPassword), write("psk", base64.StdEncoding.EncodeToString([]byte(scanPassword)))
	const away = " not here and were not looked at: check them where the daemon runs"
	for name, c := range map[string]struct {
		token, psk, dockerConfig, webhookFolder string
		online                                  bool
		want                                    map[string]string // by what
		code                                    int
	}{
		"not here": {token: "/none/token", psk: "/none/psk", dockerConfig: "/none/config.json", webhookFolder: "/none/webhooks", want: map[string]string{
			notify:   "info who has the token, or the key of a Clair; their files are" + away,
			docker:   "info it is not here and was not looked at: check it where the daemon runs",
			webhooks: "info it is not here, so the files of slackWebhookFile were not looked at: check them where the daemon runs"}},
		"no token here":     {token: "/none/token", psk: key, want: map[string]string{notify: "info who has the token, or the key of a Clair; some of their files are" + away}},
		"no key here":       {token: token, psk: "/none/psk", want: map[string]string{notify: "info who has the token, or the key of a Clair; some of their files are" + away}},
		"here":              {token: token, psk: key, dockerConfig: write("docker.json", "{}"), want: map[string]string{notify: "ok who has the token, or the key of a Clair", docker: "ok credentials for no registry"}},
		"not in the folder": {token: filepath.Join(folder, "none"), psk: key, dockerConfig: filepath.Join(folder, "none.json"), want: map[string]string{notify: "PROBLEM token of the notifier: ", docker: "WARNING there is none"}, code: exitFound},
		"a broken key":      {token: "/none/token", psk: write("broken", "!"), want: map[string]string{notify: "PROBLEM "}, code: exitFound},
		"where the daemon runs": {token: "/none/token", dockerConfig: "/none/config.json", webhookFolder: "/none/webhooks", online: true, want: map[string]string{
			notify: "PROBLEM token of the notifier: ", docker: "WARNING there is none", webhooks: "WARNING it is not here"}, code: exitFound},
	} {
		t.Run(name, func(t *testing.T) {
			config := fmt.Sprintf("notifyTokenFile: %q\ndockerConfig: %q\nwebhookFolder: %q\n", c.token, c.dockerConfig, c.webhookFolder)
			if c.psk != "" {
				config += fmt.Sprintf("clairs: [{url: \"http://clair.invalid:6000/\", pskFile: %q}]\n", c.psk)
			}
			shop := scannerOf("http://127.0.0.1:1/", webhook("x"), "")
			if c.webhookFolder != "" {
				shop = "clairBaseUrl: http://127.0.0.1:1/\nslackWebhookFile: shop\n"
			}
			args := []string{"--config", "config.yaml", "--settings-file", "settings.yaml", "-o", "json"}
			if !c.online {
				args = append(args, "--offline")
			}
			got := check(t, map[string]string{"config.yaml": config, "settings.yaml": asFile(t, map[string]string{"shop": shop})}, args...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d:\n%s%s", got.code, c.code, got.out, got.errs)
			}
			var doc checkDocument
			if err := json.Unmarshal([]byte(got.out), &doc); err != nil {
				t.Fatal(err)
			}
			for what, want := range c.want {
				i := slices.IndexFunc(doc.Checks, func(r row) bool { return strings.Contains(r.What, what) })
				if i < 0 {
					t.Errorf("no row about %s", what)
					continue
				}
				is := string(doc.Checks[i].Outcome)
				if is == "problem" || is == "warning" {
					is = strings.ToUpper(is)
				}
				if said := is + " " + doc.Checks[i].Found; !strings.HasPrefix(said, want) {
					t.Errorf("%s: got %q, want %q", what, said, want)
				}
			}
		})
	}
}

// What is to be applied can be judged where nothing of it can be reached.
func TestCheckOffline(t *testing.T) {
	settings := writeFile(t, "settings.yaml", asFile(t, map[string]string{"shop": scannerOf("http://clair.invalid:6000/", webhook("x"), "")}))
	got := check(t, nil, "--offline", "--settings-file", settings)
	if got.code != 0 || !strings.Contains(got.out, "nothing is contacted") || strings.Contains(got.out, "clair.invalid: ") {
		t.Errorf("exit code %d:\n%s%s", got.code, got.out, got.errs)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"without a file":   {[]string{"--offline"}, 1, "--offline needs --settings-file"},
		"no such file":     {[]string{"--offline", "--settings-file", "/not/there"}, 1, "--settings-file cannot be read"},
		"and sending":      {[]string{"--offline", "--send", "--settings-file", settings}, 1, "offline send"},
		"misspelt data":    {[]string{"--offline", "--settings-file", writeFile(t, "a.yaml", "kind: ConfigMap\nmetadata: {name: clairwatch}\ndta: {}\n")}, 2, "dta: no such field of a ConfigMap"},
		"keys beside data": {[]string{"--offline", "--settings-file", writeFile(t, "b.yaml", "kind: ConfigMap\nshop: x\n")}, 2, "shop: no such field of a ConfigMap"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := check(t, nil, c.args...); got.code != c.code || !strings.Contains(got.out+got.errs, c.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", got.code, c.code, c.want, got.out, got.errs)
			}
		})
	}
}
