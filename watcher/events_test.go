package watcher

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// told returns the Events on the settings ConfigMap that were made since the last time, in the order of their texts.
func (r *rig) told() []string {
	r.t.Helper()
	api := r.kube.CoreV1().Events("clairwatch")
	list, err := api.List(r.t.Context(), metav1.ListOptions{})
	r.check(err)
	var texts []string
	for _, e := range list.Items {
		if o := e.InvolvedObject; o.Kind != "ConfigMap" || o.APIVersion != "v1" || o.Name != "clairwatch" || o.Namespace != "clairwatch" || o.UID != settingsUID {
			r.t.Errorf("an Event on %+v", o)
		}
		if len(e.Message) > 1024 || !utf8.ValidString(e.Message) || strings.ContainsAny(e.Message, "\n\r") || strings.Contains(e.Message, webhookPath) {
			r.t.Errorf("an Event with %q", e.Message)
		}
		if e.FirstTimestamp.IsZero() || e.LastTimestamp.IsZero() || e.Count != 1 || e.Source.Component == "" {
			r.t.Errorf("an Event without what kubectl shows: %+v", e)
		}
		texts = append(texts, e.Type+" "+e.Reason+" "+e.Message)
		r.check(api.Delete(r.t.Context(), e.Name, metav1.DeleteOptions{}))
	}
	slices.Sort(texts)
	return texts
}

// wantTold checks the Events since the last time by what they begin with.
func (r *rig) wantTold(want ...string) {
	r.t.Helper()
	got := r.told()
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		r.t.Errorf("Events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEvents(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const misspelt = "minSeverty: High\nlok: {}\n"
		r.settings(map[string]string{"shop": scanner("shop") + misspelt, "blog": scanner("blog")})
		r.start()
		const shop = "Warning SettingsMistake shop.minSeverty (line 5): no such field; did you mean minSeverity? | shop.lok (line 6): no such field; did you mean look?"
		r.wantTold(shop + "; the namespace is not watched until it is mended")
		r.settings(map[string]string{"shop": scanner("shop") + misspelt, "blog": "# another\n" + scanner("blog")})
		r.pass(time.Hour)
		r.wantTold()

		// Another mistake is said, one that ends too.
		r.settings(map[string]string{"shop": scanner("shop") + misspelt, "blog": "slackWebhookUrl: [" + webhook("blog")})
		r.wantTold("Warning SettingsMistake blog (line 1): not valid YAML: a bracket, [ or {, that is not closed, or a comma that is missing behind it; the last good settings stay in force")
		r.settings(map[string]string{"shop": scanner("shop"), "blog": "slackWebhookUrl: [" + webhook("blog")})
		r.wantTold("Normal SettingsMended shop: mended")
		r.settings(map[string]string{"shop": scanner("shop")})
		r.wantTold("Normal SettingsMended blog: mended")

		// A mistake in the defaults is one, whatever inherits from it.
		bad := map[string]string{"_defaults": "minSeverity: Hgh", "shop": scanner("shop"), "blog": scanner("blog")}
		r.settings(bad)
		const defaults = "Warning SettingsMistake _defaults.minSeverity (line 1): "
		r.wantTold(defaults)

		// A new leader says again what is wrong.
		r.stop()
		r.start()
		r.wantTold(defaults)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.wantTold("Normal SettingsMended _defaults: mended")

		// Nothing is said of a ConfigMap that is gone.
		r.settings(bad)
		r.wantTold(defaults)
		r.check(r.kube.CoreV1().ConfigMaps("clairwatch").Delete(t.Context(), "clairwatch", metav1.DeleteOptions{}))
		r.pass(time.Hour)
		r.wantTold()
	})
}

// One edit makes a bounded number of Events, and no key's text makes one longer than the API takes.
func TestEventsAreBounded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		data := make(map[string]string)
		for i := range 3000 {
			data[fmt.Sprintf("ns-%04d", i)] = strings.Repeat("ü: é\n", 3)
		}
		r.settings(data)
		r.start()
		got := r.told()
		if len(got) != mostEvents+1 || !slices.Contains(got, "Warning SettingsMistake and 2980 more keys have mistakes: the log has all, and clairwatch check") {
			t.Errorf("%d Events: %s", len(got), got[0])
		}
		r.settings(map[string]string{"ns-2999": strings.Repeat("q: a\n", 100), "Web_" + strings.Repeat("X", 24): ""})
		got = r.told()
		if len(got) != mostEvents+1+2 || !slices.Contains(got, "Normal SettingsMended and 2979 more keys are mended") {
			t.Errorf("%d Events: %s", len(got), got)
		}
		r.settings(nil)
		r.wantTold("Normal SettingsMended (no namespace): mended", "Normal SettingsMended ns-2999: mended")
	})
}

// Events that cannot be made are made later, and each once.
func TestEventsLater(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		type refusal struct {
			of  string // the beginning of the Event's text
			err error
		}
		var refused atomic.Pointer[refusal]
		refused.Store(&refusal{"shop (line 1): ", errors.New("the API is away")})
		r.kube.PrependReactor("create", "events", func(a clienttesting.Action) (bool, runtime.Object, error) {
			e, ok := a.(clienttesting.CreateAction).GetObject().(*corev1.Event)
			now := refused.Load()
			if !ok || now == nil || !strings.HasPrefix(e.Message, now.of) {
				return false, nil, nil
			}
			return true, nil, now.err
		})
		r.settings(map[string]string{"blog": "x", "shop": "x"})
		r.start()
		r.wantTold("Warning SettingsMistake blog (line 1): ")
		r.pass(time.Hour)
		r.wantTold()
		refused.Store(nil)
		r.pass(eventsAgain)
		r.wantTold("Warning SettingsMistake shop (line 1): ")
		r.pass(time.Hour)
		r.wantTold()
	})
}

// What is refused counts as not told, whatever it was about: it is said once Events are allowed again, also where another
// key is edited then, and that it is mended only of what was said.
func TestEventsRefused(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		var tried atomic.Int32
		var refused atomic.Bool
		refused.Store(true)
		r.kube.PrependReactor("create", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
			tried.Add(1)
			if !refused.Load() {
				return false, nil, nil
			}
			return true, nil, apierrors.NewForbidden(corev1.Resource("events"), "", errors.New("exceeded quota: objects"))
		})
		r.settings(map[string]string{"blog": "x", "shop": "x"})
		r.start()
		before := tried.Load()
		r.pass(eventsRefusedAgain / 2)
		if n := tried.Load(); before == 0 || n != before {
			t.Errorf("%d Events were tried at the start, and %d in half an hour without an edit", before, n-before)
		}
		r.settings(map[string]string{"blog": "x", "shop": "# another\nx"})
		if n := tried.Load(); n != before+1 {
			t.Errorf("%d Events were tried for the edit, want one", n-before)
		}
		r.settings(map[string]string{"blog": scanner("blog"), "shop": "# another\nx", "docs": "x"})
		r.wantTold()
		r.wantLogged(1, "Events on the settings ConfigMap are refused")
		r.wantLogged(1, "exceeded quota: objects")

		refused.Store(false)
		r.pass(eventsRefusedAgain)
		r.wantTold("Warning SettingsMistake docs (line 1): ", "Warning SettingsMistake shop (line 2): ") // blog, mended, was never said
		r.settings(map[string]string{"blog": scanner("blog"), "shop": "# another\nx", "docs": "# new\ny"})
		r.wantTold("Warning SettingsMistake docs (line 2): ")
		r.settings(map[string]string{"blog": scanner("blog"), "shop": scanner("shop"), "docs": "# new\ny"})
		r.wantTold("Normal SettingsMended shop: mended")
		refused.Store(true)
		r.settings(map[string]string{"blog": scanner("blog"), "shop": scanner("shop"), "docs": scanner("docs")})
		r.wantTold()
		r.wantLogged(2, "Events on the settings ConfigMap are refused")
		refused.Store(false)
		r.settings(map[string]string{"blog": "# new\n" + scanner("blog"), "shop": scanner("shop"), "docs": scanner("docs")})
		r.wantTold("Normal SettingsMended docs: mended")
	})
}

// Who stands by says nothing.
func TestEventsOfTheLeaderAlone(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Lease = LeaseConfig{Identity: "first"}
		now := metav1.NowMicro()
		_, err := r.kube.CoordinationV1().Leases("clairwatch").Create(t.Context(), &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: "clairwatch", Name: "clairwatch"},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("other"), LeaseDurationSeconds: new(int32(45)), AcquireTime: &now, RenewTime: &now},
		}, metav1.CreateOptions{})
		r.check(err)
		r.settings(map[string]string{"shop": "x"})
		r.start()
		r.pass(10 * time.Second)
		r.wantTold()
		r.wantLogged(1, "standing by")
		r.pass(time.Minute) // the other one is not heard of any more
		r.wantTold("Warning SettingsMistake shop (line 1): ")
	})
}
