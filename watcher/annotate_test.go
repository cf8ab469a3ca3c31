package watcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clienttesting "k8s.io/client-go/testing"

	"github.com/clairwatch/clairwatch/slack"
)

// podPatches answers requests to patch pods as an API server does. The words are those of a real one.
type podPatches struct {
	r *rig

	mu sync.Mutex
	// granted says that there is the right to, and confined what the policy refuses.
	granted  bool
	confined []string
	// answer, where set, is asked first with the name of the pod.
	answer func(pod string) error
	// refuse, where set, is the answer to what would be carried out.
	refuse error
	// tried counts the requests that are not to be carried out, refused the others that were refused. trials are what the
	// former would change.
	tried, refused int
	trials         []podPatch
	// carried are those that were carried out, by the second since the start in which they came.
	carried []string
	at      []time.Duration
	began   time.Time
}

// everything is what the policy refuses.
var everything = []string{"labels", "annotations", "spec"}

// inAnnotatingRig runs a test in a rig that annotates pods, with an API server that has deploy/annotate.yaml.
func inAnnotatingRig(t *testing.T, test func(*testing.T, *rig, *podPatches)) {
	t.Helper()
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.AnnotatePods = true
		p := &podPatches{r: r, granted: true, confined: everything, began: time.Now()}
		r.kube.PrependReactor("patch", "pods", p.react)
		test(t, r, p)
	})
}

// set changes what is answered.
func (p *podPatches) set(change func(*podPatches)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// podPatch is what the daemon may write into a patch.
type podPatch struct {
	Metadata struct {
		UID         types.UID         `json:"uid"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		ActiveDeadlineSeconds int64               `json:"activeDeadlineSeconds"`
		Tolerations           []corev1.Toleration `json:"tolerations"`
	} `json:"spec"`
	// appends says that the tolerations come to those that are there.
	appends bool
}

// readPatch reads a patch, whatever its type.
func readPatch(kind types.PatchType, text []byte) (podPatch, error) {
	var patch podPatch
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if kind == types.MergePatchType {
		return patch, d.Decode(&patch)
	}
	var ops []struct {
		Op, Path string
		Value    json.RawMessage
	}
	if err := d.Decode(&ops); err != nil {
		return patch, err
	}
	var toleration corev1.Toleration
	patch.appends = true
	for i, want := range []struct {
		op, path string
		into     any
	}{{"test", "/metadata/uid", &patch.Metadata.UID}, {"add", "/spec/tolerations/-", &toleration}} {
		if i >= len(ops) || ops[i].Op != want.op || ops[i].Path != want.path {
			return patch, errors.New("another operation than those that are known")
		}
		if err := json.Unmarshal(ops[i].Value, want.into); err != nil {
			return patch, err
		}
	}
	patch.Spec.Tolerations = []corev1.Toleration{toleration}
	return patch, nil
}

// validate says what validation refuses of a patch, before any policy is asked.
func (p podPatch) validate(pod *corev1.Pod) error {
	spec := field.NewPath("spec")
	var wrong field.ErrorList
	if d := pod.Spec.ActiveDeadlineSeconds; d != nil && p.Spec.ActiveDeadlineSeconds > *d {
		wrong = append(wrong, field.Invalid(spec.Child("activeDeadlineSeconds"), p.Spec.ActiveDeadlineSeconds, "must be less than or equal to previous value"))
	}
	if p.appends && len(pod.Spec.Tolerations) == 0 {
		return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", "add operation does not apply: doc is missing path", 0, false)
	}
	if !p.appends && len(p.Spec.Tolerations) > 0 && len(pod.Spec.Tolerations) > 0 {
		wrong = append(wrong, field.Forbidden(spec, "existing toleration can not be modified except its tolerationSeconds"))
	}
	if len(wrong) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, pod.Name, wrong)
	}
	return nil
}

// changes says what a patch changes that the policy may refuse.
func (p podPatch) changes() []string {
	var changed []string
	if len(p.Metadata.Labels) > 0 {
		changed = append(changed, "labels")
	}
	for key := range p.Metadata.Annotations {
		if !strings.HasPrefix(key, reportedPrefix) {
			changed = append(changed, "annotations")
		}
	}
	if p.Spec.ActiveDeadlineSeconds != 0 || len(p.Spec.Tolerations) > 0 {
		changed = append(changed, "spec")
	}
	return changed
}

func (p *podPatches) react(action clienttesting.Action) (bool, runtime.Object, error) {
	a, is := action.(clienttesting.PatchActionImpl)
	if !is {
		p.r.t.Errorf("patched by %v", action)
		return false, nil, nil
	}
	patch, err := readPatch(a.PatchType, a.Patch)
	if err != nil {
		p.r.t.Errorf("%v in %s", err, a.Patch)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	trial := slices.Equal(a.PatchOptions.DryRun, []string{metav1.DryRunAll})
	pod, err := p.check(a, patch)
	if err == nil && !trial {
		err = p.refuse
	}
	switch {
	case trial:
		p.tried++
		p.trials = append(p.trials, patch)
	case err != nil:
		p.refused++
	default:
		text, _ := json.Marshal(patch.Metadata.Annotations)
		p.carried = append(p.carried, a.Namespace+"/"+a.Name+" "+string(text))
		p.at = append(p.at, time.Since(p.began))
		pod = pod.DeepCopy()
		if pod.Annotations == nil {
			pod.Annotations = make(map[string]string)
		}
		maps.Copy(pod.Annotations, patch.Metadata.Annotations)
		err = p.r.kube.Tracker().Update(a.GetResource(), pod, a.Namespace)
	}
	return true, pod, err
}

// check returns the pod if it may be patched.
func (p *podPatches) check(a clienttesting.PatchActionImpl, patch podPatch) (*corev1.Pod, error) {
	at := schema.GroupResource{Resource: "pods"}
	if p.answer != nil {
		if err := p.answer(a.Name); err != nil {
			return nil, err
		}
	}
	if !p.granted {
		return nil, apierrors.NewForbidden(at, a.Name, fmt.Errorf(
			`User "system:serviceaccount:clairwatch:clairwatch" cannot patch resource "pods" in API group "" in the namespace %q`, a.Namespace))
	}
	object, err := p.r.kube.Tracker().Get(a.GetResource(), a.Namespace, a.Name)
	if err != nil {
		return nil, err
	}
	pod := object.(*corev1.Pod)
	if patch.Metadata.UID == "" || patch.Metadata.UID != pod.UID {
		return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, a.Name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "uid"), patch.Metadata.UID, "field is immutable"),
		})
	}
	if err := patch.validate(pod); err != nil {
		return nil, err
	}
	for _, changed := range patch.changes() {
		if slices.Contains(p.confined, changed) {
			return nil, policyRefusal(annotatePolicy, a.Name)
		}
	}
	return pod, nil
}

// somebodysRefusal is what the API server says when an admission webhook refuses.
var somebodysRefusal = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "app-0", errors.New("admission webhook denied the request"))

// policyRefusal is what the API server says when a policy refuses.
func policyRefusal(policy, pod string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, pod, fmt.Errorf(
		"ValidatingAdmissionPolicy '%s' with binding '%s' denied request: clairwatch may not", policy, policy))
}

// wantCarried checks which patches were carried out since the last time, each pod with its annotations, in any order.
func (p *podPatches) wantCarried(want ...string) {
	p.r.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := slices.Sorted(slices.Values(p.carried))
	p.carried, p.at = nil, nil
	slices.Sort(want)
	if !slices.Equal(got, want) {
		p.r.t.Errorf("patches:\n%s\nwant:\n%s\nlog:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), p.r.log)
	}
}

// wantState checks whether pods are annotated, as the metric has it.
func (p *podPatches) wantState(want string) {
	p.r.t.Helper()
	for _, state := range annotatingNames {
		if got := p.r.metric("clairwatch_annotating", state); got == 1 != (state == want) {
			p.r.t.Errorf("%s is %v, want the state %s", state, got, want)
		}
	}
}

// wantWarnings checks how often the log warns that a pod is not annotated, or none is.
func (p *podPatches) wantWarnings(want int) {
	p.r.t.Helper()
	got := 0
	for line := range strings.Lines(p.r.log.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, "annotated") {
			got++
		}
	}
	if got != want {
		p.r.t.Errorf("%d warnings, want %d:\n%s", got, want, p.r.log)
	}
}

// annotation is what is written of containers and their images.
func annotation(pod string, of map[string]int) string {
	all := make(map[string]string)
	for name, n := range of {
		all[reportedPrefix+name] = digest(n)
	}
	text, _ := json.Marshal(all)
	return pod + " " + string(text)
}

// app is what is written on a pod of podOf.
func app(pod string, n int) string { return annotation(pod, map[string]int{"app": n}) }

// uidPod is a podOf with a UID, as all pods have one.
func uidPod(namespace, name string, n int) *corev1.Pod {
	pod := podOf(namespace, name, n)
	pod.UID = types.UID("uid-" + name)
	return pod
}

func idOf(pod *corev1.Pod) PodID { return PodID{pod.Namespace, pod.Name, pod.UID} }

// manyContainers is a pod with containers of all kinds: image 1 ordinary, 2 init, 3 ephemeral, and 4 as a volume that has the
// name of a container.
func manyContainers(name string) *corev1.Pod {
	pod := uidPod("shop", name, 1)
	setup, setupID := reference(2)
	debug, debugID := reference(3)
	mounted, _ := reference(4)
	pod.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: setup}}
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "setup", ImageID: setupID}}
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: debug}}}
	pod.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", ImageID: debugID}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "app", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: mounted + "@" + digest(4)}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "app", MountPath: "/app"}}
	return pod
}

func TestAnnotate(t *testing.T) {
	all := map[string]int{"app": 1, "setup": 2, "debug": 3}
	no := func(name string, change func(*corev1.Pod)) *corev1.Pod {
		pod := uidPod("shop", name, 1)
		change(pod)
		return pod
	}
	for name, c := range map[string]struct {
		settings map[string]string
		pods     []*corev1.Pod
		want     []string
	}{
		"replicas": {
			map[string]string{"shop": scanner("shop")},
			[]*corev1.Pod{uidPod("shop", "app-0", 1), uidPod("shop", "app-1", 1), uidPod("shop", "web-0", 2)},
			[]string{app("shop/app-0", 1), app("shop/app-1", 1), app("shop/web-0", 2)},
		},
		"all containers in one": {
			map[string]string{"shop": scanner("shop")},
			[]*corev1.Pod{manyContainers("app-0")},
			[]string{annotation("shop/app-0", all)},
		},
		"not watched": {
			map[string]string{"shop": scanner("shop")},
			[]*corev1.Pod{uidPod("shop", "app-0", 1), uidPod("blog", "app-0", 1)},
			[]string{app("shop/app-0", 1)},
		},
		"_all": {
			map[string]string{"_all": scanner("all"), "blog": ""},
			[]*corev1.Pod{uidPod("shop", "app-0", 1), uidPod("web", "app-0", 1), uidPod("blog", "app-0", 1)},
			[]string{app("shop/app-0", 1), app("web/app-0", 1)},
		},
		"not looked at": {
			map[string]string{"shop": scanner("shop") + "look: {init: false, ephemeral: false, optOut: true}\n"},
			[]*corev1.Pod{manyContainers("app-0"), no("out", func(p *corev1.Pod) { p.Annotations = map[string]string{optOut: "false"} })},
			[]string{app("shop/app-0", 1)},
		},
		"ended": {
			map[string]string{"shop": scanner("shop")},
			[]*corev1.Pod{no("done", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), uidPod("shop", "app-0", 1)},
			[]string{app("shop/app-0", 1)},
		},
		"not pulled": {
			map[string]string{"shop": scanner("shop")},
			[]*corev1.Pod{no("new", func(p *corev1.Pod) { p.Status = corev1.PodStatus{} })},
			nil,
		},
		"nobody wants to hear": {
			map[string]string{"shop": scanner("shop") + "tell: {report: false}\n"},
			[]*corev1.Pod{uidPod("shop", "app-0", 1)},
			[]string{app("shop/app-0", 1)},
		},
		"already there": {
			map[string]string{"shop": scanner("shop")},
			[]*corev1.Pod{
				no("right", func(p *corev1.Pod) { p.Annotations = map[string]string{reportedPrefix + "app": digest(1)} }),
				no("old", func(p *corev1.Pod) { p.Annotations = map[string]string{reportedPrefix + "app": digest(9)} }),
				no("forged", func(p *corev1.Pod) { p.Annotations = map[string]string{reportedPrefix + "app": "clean"} }),
			},
			[]string{app("shop/old", 1), app("shop/forged", 1)},
		},
		"somebody's": {
			map[string]string{"shop": scanner("shop")},
			[]*corev1.Pod{no("app-0", func(p *corev1.Pod) { p.Annotations = map[string]string{"x": "y", reportedPrefix + "z": "y"} })},
			[]string{app("shop/app-0", 1)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
				r.settings(c.settings)
				r.run(c.pods...)
				r.start()
				p.wantState("on")
				r.pass(settled)
				p.wantCarried(c.want...)
				if got := int(r.metric("clairwatch_annotations_total", "ok")); got != len(c.want) {
					t.Errorf("%d are counted, want %d", got, len(c.want))
				}
				// Whatever is looked at again: what is there is not written again.
				for range 3 {
					r.pass(confinedFor)
				}
				r.restart()
				r.pass(settled)
				p.wantCarried()
				p.wantState("on")
				p.wantWarnings(0)
			})
		})
	}
}

// What is told is annotated, and only when it is told.
func TestAnnotateWhatWasTold(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.settings(map[string]string{"shop": "- name: team\n  " + indented(scanner("shop")) + "- name: security\n  " + indented(scanner("security"))})
		dead := true
		security, err := r.cfg.Webhook(webhook("security"))
		r.check(err)
		r.slack.set(func(channel slack.Webhook) error {
			if dead && channel == security {
				return &slack.Error{Kind: slack.Channel}
			}
			return nil
		})
		r.run(uidPod("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantEach("shop", "app1:v1 is running with")
		p.wantCarried() // one of two has not been told
		r.slack.set(nil)
		r.pass(mendPause)
		p.wantCarried(app("shop/app-0", 1))

		// Another pod of an image that was told.
		r.run(uidPod("shop", "app-1", 1))
		r.pass(annotateAfter)
		p.wantCarried(app("shop/app-1", 1))

		// Another image in the same container.
		r.change(annotated(r, "shop", "app-0", func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Image, pod.Status.ContainerStatuses[0].ImageID = reference(2)
		}))
		r.pass(settled)
		p.wantCarried(app("shop/app-0", 2))
		if got := annotated(r, "shop", "app-0", nil).Annotations; !maps.Equal(got, map[string]string{reportedPrefix + "app": digest(2)}) {
			t.Errorf("the pod has %v", got)
		}
	})
}

// indented is a Scanner as one of a list.
func indented(scanner string) string {
	return strings.ReplaceAll(strings.TrimSpace(scanner), "\n", "\n  ") + "\n"
}

// annotated returns a pod as it is in the cluster, changed.
func annotated(r *rig, namespace, name string, change func(*corev1.Pod)) *corev1.Pod {
	r.t.Helper()
	pod, err := r.kube.CoreV1().Pods(namespace).Get(r.t.Context(), name, metav1.GetOptions{})
	r.check(err)
	pod = pod.DeepCopy()
	if change != nil {
		change(pod)
	}
	return pod
}

// What needs no message counts as told: where another namespace of _all has heard of the image, and where nobody wants to.
func TestAnnotateWhatNeedsNoMessage(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.settings(map[string]string{"_all": scanner("all"), "quiet": scanner("quiet") + "tell: {report: false}\n"})
		r.run(uidPod("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		p.wantCarried(app("shop/app-0", 1))
		r.run(uidPod("blog", "app-0", 1), uidPod("quiet", "app-0", 2))
		r.pass(settled)
		r.wantTexts("app1:v1 is running with")
		p.wantCarried(app("blog/app-0", 1), app("quiet/app-0", 2))
	})
}

// Nothing is believed of an annotation: an image is told though a pod says that it was.
func TestAnnotateBelievesNothing(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		pod := uidPod("shop", "app-0", 1)
		pod.Annotations = map[string]string{reportedPrefix + "app": digest(1)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(pod)
		r.start()
		r.pass(settled)
		r.wantTexts("app1:v1 is running with")
		p.wantCarried()
	})
}

// Without the setting nothing is tried, and nothing of annotations is kept.
func TestAnnotateOff(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.cfg.AnnotatePods = false
		pod := uidPod("shop", "app-0", 1)
		pod.Annotations = map[string]string{reportedPrefix + "app": digest(1)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(pod)
		r.start()
		r.pass(2 * confinedFor)
		r.wantTexts("app1:v1 is running with")
		p.wantCarried()
		p.wantState("off")
		if p.tried > 0 {
			t.Error("it was tried")
		}
		for _, cached := range r.w.pods.in("shop") {
			if cached.notes != nil {
				t.Errorf("the cache has %v", cached.notes)
			}
		}
	})
}

// Who stands by annotates nothing.
func TestAnnotateByTheLeaderAlone(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.leases()
		r.settings(map[string]string{"shop": scanner("shop")})
		r.remember(toldOf("shop", 1))
		r.cfg.Lease = LeaseConfig{Identity: "first"}
		r.start()
		end := r.end
		p.set(func(p *podPatches) { p.granted = false }) // to the one that leads
		r.pass(confinedFor)
		p.set(func(p *podPatches) { p.granted, p.tried = true, 0 })
		r.cfg.Lease = LeaseConfig{Identity: "second"}
		r.start()
		p.wantState("waiting")
		r.check(end())
		r.run(uidPod("shop", "app-0", 1))
		r.pass(time.Minute) // from now on the second leads
		p.wantState("on")
		p.wantCarried(app("shop/app-0", 1))
	})
}

// Many pods come one after the other.
func TestAnnotatePace(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		const pods = 100
		r.settings(map[string]string{"shop": scanner("shop")})
		r.remember(toldOf("shop", 1))
		var want []string
		for n := range pods {
			name := fmt.Sprintf("app-%d", n)
			r.run(uidPod("shop", name, 1))
			want = append(want, app("shop/"+name, 1))
		}
		r.start()
		r.pass(time.Minute)
		second := make(map[int]int)
		for _, at := range p.at {
			second[int(at/time.Second)]++
		}
		for at, n := range second {
			if n > annotationsPerSecond {
				t.Errorf("%d patches in second %d", n, at)
			}
		}
		p.wantCarried(want...)
	})
}

// A right that is taken back stops all until it is there again.
func TestAnnotateForbidden(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.remember(toldOf("shop", 1))
		r.start()
		p.wantState("waiting") // for a pod
		p.wantWarnings(0)
		var want []string
		for n := range 20 {
			r.run(uidPod("shop", fmt.Sprintf("app-%d", n), 1))
			want = append(want, app(fmt.Sprintf("shop/app-%d", n), 1))
		}
		r.pass(confinedAgain + annotateAfter + time.Second)
		p.wantState("on")
		done := len(p.carried)
		if done == 0 || done == len(want) {
			t.Fatalf("%d of %d are annotated, want some", done, len(want))
		}
		p.set(func(p *podPatches) { p.granted, p.tried = false, 0 })
		r.pass(10 * confinedAgain)
		p.wantState("forbidden")
		if p.refused != 1 || p.tried < 9 || p.tried > 11 {
			t.Errorf("%d refused, %d tried: want one, and a trial a minute", p.refused, p.tried)
		}
		p.wantWarnings(1)
		r.wantLogged(1, "kubectl apply -f deploy/annotate.yaml grants it")
		p.set(func(p *podPatches) { p.granted = true })
		r.pass(2 * confinedAgain)
		p.wantState("on")
		p.wantCarried(want...)
	})
}

// Without the policy, or with one that has gaps, nothing is annotated.
func TestAnnotateUnconfined(t *testing.T) {
	for name, c := range map[string]struct {
		confined []string
		says     string
	}{
		"no policy":           {nil, "changing a label of pods"},
		"spec and labels":     {[]string{"spec", "labels"}, "changing an annotation of pods"},
		"spec alone is free":  {[]string{"labels", "annotations"}, "changing the spec of pods"},
		"labels alone's free": {[]string{"spec", "annotations"}, "changing a label of pods"},
	} {
		t.Run(name, func(t *testing.T) {
			inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
				p.confined = c.confined
				r.settings(map[string]string{"shop": scanner("shop")})
				r.run(uidPod("shop", "app-0", 1), manyContainers("app-1"))
				r.start()
				r.pass(2 * confinedFor)
				p.wantState("unconfined")
				p.wantCarried()
				p.wantWarnings(1)
				r.wantLogged(1, "kubectl apply -f deploy/annotate.yaml confines it")
				r.wantLogged(1, c.says)
				// A policy takes a moment to be in force.
				p.set(func(p *podPatches) { p.confined = everything })
				r.pass(confinedAgain + settled)
				p.wantState("on")
				p.wantCarried(app("shop/app-0", 1), annotation("shop/app-1", map[string]int{"app": 1, "setup": 2, "debug": 3}))
				// It can be taken away.
				p.set(func(p *podPatches) { p.confined = c.confined })
				r.pass(confinedFor)
				r.run(uidPod("shop", "app-2", 1))
				r.pass(settled)
				p.wantState("unconfined")
				p.wantCarried()
				p.wantWarnings(2)
			})
		})
	}
}

// However many pods wait, it is tried in time whether the right is confined: an hour after the last time, and a minute
// after something was refused.
func TestAnnotateConfinementFirst(t *testing.T) {
	for name, c := range map[string]struct {
		since  time.Duration // the last trial, when many pods come
		refuse error         // what somebody answers at first
	}{
		"an hour":   {confinedFor - confinedAgain, nil},
		"a refusal": {0, somebodysRefusal},
	} {
		t.Run(name, func(t *testing.T) {
			inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
				r.cfg.Refresh = 0
				r.settings(map[string]string{"shop": scanner("shop")})
				r.remember(toldOf("shop", 1))
				r.run(uidPod("shop", "first", 1))
				r.start()
				r.pass(c.since)
				p.wantState("on")
				const pods = 2 * int(confinedAgain/time.Second) * annotationsPerSecond
				for n := range pods {
					r.run(uidPod("shop", fmt.Sprintf("app-%d", n), 1))
				}
				p.set(func(p *podPatches) { p.confined, p.tried, p.refuse = nil, 0, c.refuse }) // the policy is gone
				r.pass(annotateAfter + time.Second)
				p.wantState("on") // nothing has shown it yet
				p.set(func(p *podPatches) { p.refuse = nil })
				r.pass(confinedAgain)
				p.wantState("unconfined")
				if done := len(p.carried); p.tried != 1 || done == 0 || done > pods*2/3 {
					t.Errorf("%d trials, and %d of %d pods annotated before", p.tried, done, pods)
				}
			})
		})
	}
}

// What somebody else refuses, of each pod, has it tried once a minute whether the right is confined, and no more often.
func TestAnnotateRefusedByOthers(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.cfg.Refresh = 0
		r.settings(map[string]string{"shop": scanner("shop")})
		r.remember(toldOf("shop", 1))
		for n := range 1000 {
			r.run(uidPod("shop", fmt.Sprintf("app-%d", n), 1))
		}
		r.start()
		p.set(func(p *podPatches) { p.tried, p.refuse = 0, somebodysRefusal })
		const minutes = 10
		r.pass(minutes * time.Minute)
		p.wantState("on")
		if least := (minutes - 1) * 60 * annotationsPerSecond; p.refused < least || p.tried < (minutes-1)*len(trials) || p.tried > minutes*len(trials) {
			t.Errorf("%d refused and %d tried, want at least %d refused and a trial a minute", p.refused, p.tried, least)
		}
	})
}

// What fails is tried again, a few times, and holds up no other pod.
func TestAnnotateFailures(t *testing.T) {
	away := apierrors.NewInternalError(errors.New("etcd is away"))
	for name, c := range map[string]struct {
		err      error
		outcome  string
		tries    int
		warnings int
	}{
		"the API server":    {away, "failed", annotateTries, 1},
		"somebody's policy": {somebodysRefusal, "forbidden", annotateTries, 1},
		"our own policy":    {policyRefusal(annotatePolicy, "app-0"), "forbidden", annotateTries, 1},
		"gone":              {apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "app-0"), "gone", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
				r.cfg.Refresh = 0
				r.settings(map[string]string{"shop": scanner("shop")})
				r.remember(toldOf("shop", 1))
				r.run(uidPod("shop", "app-0", 1), uidPod("shop", "app-1", 1))
				r.start() // what it tries is not refused
				p.wantState("on")
				p.set(func(p *podPatches) {
					p.answer = func(pod string) error {
						if pod == "app-0" {
							return c.err
						}
						return nil
					}
				})
				r.pass(confinedFor / 2)
				p.wantCarried(app("shop/app-1", 1))
				if p.refused != c.tries || int(r.metric("clairwatch_annotations_total", c.outcome)) != c.tries {
					t.Errorf("%d tries, want %d", p.refused, c.tries)
				}
				p.wantWarnings(c.warnings)
				p.set(func(p *podPatches) { p.answer = nil })
				r.pass(confinedFor)
				p.wantCarried(app("shop/app-0", 1))
			})
		})
	}
}

// All pods are looked at every hour, also where refusals have the confinement tried between.
func TestAnnotateWithinTheHour(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.cfg.Refresh = 0
		r.settings(map[string]string{"shop": scanner("shop")})
		r.remember(toldOf("shop", 1))
		r.run(uidPod("shop", "app-0", 1))
		p.set(func(p *podPatches) { p.refuse = somebodysRefusal })
		r.start()
		r.pass(confinedFor - 5*time.Minute)
		p.wantCarried()
		r.run(uidPod("shop", "app-1", 1)) // is refused too, and so the confinement is tried
		r.pass(2 * time.Minute)
		p.set(func(p *podPatches) { p.refuse = nil })
		r.pass(10 * time.Minute)
		p.wantCarried(app("shop/app-0", 1), app("shop/app-1", 1))
	})
}

// A pod that has the name of the one that was told is another one.
func TestAnnotateAnotherOfItsName(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.remember(toldOf("shop", 1))
		r.run(uidPod("shop", "app-0", 1), uidPod("shop", "app-1", 1))
		r.start()
		p.set(func(p *podPatches) {
			p.answer = func(pod string) error { // it is replaced before the watch says so
				if pod != "app-0" {
					return nil
				}
				return apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, pod, field.ErrorList{
					field.Invalid(field.NewPath("metadata", "uid"), "uid-app-0", "field is immutable"),
				})
			}
		})
		r.pass(confinedFor / 2)
		p.wantCarried(app("shop/app-1", 1))
		if p.refused != 1 {
			t.Errorf("it was tried %d times", p.refused)
		}
		p.wantWarnings(0)
	})
}

// A stop waits for nothing that is not in hand.
func TestAnnotateStops(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.remember(toldOf("shop", 1))
		for n := range 50 {
			r.run(uidPod("shop", fmt.Sprintf("app-%d", n), 1))
		}
		r.start()
		r.pass(annotateAfter + time.Second)
		stopped := time.Now()
		r.stop()
		done := len(p.carried)
		synctest.Wait()
		if done == 0 || done > 10 || len(p.carried) != done || time.Since(stopped) > time.Second {
			t.Errorf("%d were annotated, then %d in %s", done, len(p.carried), time.Since(stopped))
		}
	})
}

func TestKeepReported(t *testing.T) {
	pod := fullPod()
	pod.Annotations = map[string]string{
		optOut:                                       "false",
		"kubectl.kubernetes.io/whatever":             strings.Repeat("x", 1000),
		reportedPrefix + "init":                      digest(1),
		reportedPrefix + "debug":                     digest(2),
		reportedPrefix + "none":                      digest(3), // no container of it
		reportedPrefix + "model":                     digest(3), // nor of it
		reportedPrefix + pod.Spec.Containers[0].Name: strings.Repeat("x", 1000),
	}
	kept := newPod(pod, true)
	var got []toldManifest
	for _, h := range kept.notes.reported {
		got = append(got, h.Value())
	}
	if want := []toldManifest{{"init", digest(1)}, {"debug", digest(2)}}; !slices.Equal(got, want) || !isOut(kept) {
		t.Errorf("kept are %v, and that it is out: %v", got, isOut(kept))
	}
	if !kept.saysReported("init", digest(1)) || kept.saysReported("init", digest(2)) || kept.saysReported("none", digest(3)) {
		t.Error("of what was reported something else is said")
	}
	if got := kept.id(); got != idOf(pod) {
		t.Errorf("it is %v, want %v", got, idOf(pod))
	}
}

// What cannot be found out is said once, and tried again.
func TestAnnotateUnchecked(t *testing.T) {
	inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
		away := true
		p.answer = func(string) error {
			if away {
				return apierrors.NewInternalError(errors.New("etcd is away"))
			}
			return nil
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(uidPod("shop", "app-0", 1))
		r.start()
		r.pass(10 * confinedAgain)
		p.wantState("unchecked")
		p.wantWarnings(1)
		r.wantLogged(1, "etcd is away")
		p.set(func(*podPatches) { away = false })
		r.pass(2 * confinedAgain)
		p.wantState("on")
		p.wantCarried(app("shop/app-0", 1))
		p.wantWarnings(1)
	})
}

// A trial that changes nothing is not refused, so whoever writes a pod must not be able to foresee one; and one that is
// carried out all the same must do no harm.
func TestTrials(t *testing.T) {
	some := corev1.Toleration{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}
	for name, c := range map[string]struct {
		deadline    int64 // of the pod; 0: none
		tolerations []corev1.Toleration
		ways        int // by which the spec is tried
	}{
		"a pod":                        {0, []corev1.Toleration{some}, 1},
		"a deadline":                   {3600, []corev1.Toleration{some}, 2},
		"a deadline that cannot fall":  {1, []corev1.Toleration{some}, 2},
		"a deadline and no toleration": {1, nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
				pod := uidPod("shop", "app-0", 1) // which the cache has
				strict := pod.DeepCopy()
				if strict.Spec.Tolerations = c.tolerations; c.deadline > 0 {
					strict.Spec.ActiveDeadlineSeconds = &c.deadline
				}
				r.run(strict)
				const times = 20
				for range times {
					r.check(CheckConfinement(t.Context(), r.kube, []PodID{idOf(pod)}))
				}
				different := make(map[string]bool)
				for _, patch := range p.trials {
					different[fmt.Sprint(patch)] = true
					wantHarmless(t, patch)
				}
				if want := times * (len(trials) - 1 + c.ways); len(different) != want || len(p.trials) != want {
					t.Errorf("%d trials, %d of them different; want %d", len(p.trials), len(different), want)
				}
				p.confined = []string{"labels", "annotations"}
				if err := CheckConfinement(t.Context(), r.kube, []PodID{idOf(pod)}); !errors.Is(err, ErrUnconfined) || !strings.Contains(err.Error(), "the spec") {
					t.Errorf("got %v where the spec can be changed", err)
				}
			})
		})
	}
}

// wantHarmless checks that a patch changes one thing, which does no harm if it is carried out.
func wantHarmless(t *testing.T, patch podPatch) {
	t.Helper()
	for _, value := range patch.Metadata.Labels {
		if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
			t.Errorf("%v: %v", patch, problems)
		}
	}
	seconds := patch.Spec.ActiveDeadlineSeconds
	if len(patch.changes()) != 1 || seconds != 0 && (seconds < 1<<30 || seconds > math.MaxInt32) {
		t.Errorf("it is tried to change %v", patch)
	}
	for _, toleration := range patch.Spec.Tolerations {
		if toleration.Key != "clairwatch.io/trial" || toleration.Operator != corev1.TolerationOpEqual || len(validation.IsValidLabelValue(toleration.Value)) > 0 ||
			toleration.Effect != corev1.TaintEffectNoSchedule {
			t.Errorf("it is tried to tolerate %v", toleration)
		}
	}
}

func TestCheckConfinement(t *testing.T) {
	whole := []*corev1.Pod{uidPod("shop", "app-0", 1), uidPod("shop", "app-1", 1)}
	pods := []PodID{idOf(whole[0]), idOf(whole[1])}
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "app-0", field.ErrorList{
		field.Invalid(field.NewPath("spec", "activeDeadlineSeconds"), 5, "must be less than or equal to previous value"),
	})
	first := func(err error) func(string) error {
		return func(pod string) error {
			if pod == "app-0" {
				return err
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		change func(*podPatches)
		pods   []PodID
		is     error // what it wraps; nil: nothing
		says   string
		tried  int
	}{
		"confined":            {func(*podPatches) {}, pods, nil, "", 3},
		"no right":            {func(p *podPatches) { p.granted = false }, pods, ErrNoRight, "no right to patch pods", 1},
		"no policy":           {func(p *podPatches) { p.confined = nil }, pods, ErrUnconfined, "changing a label of pods: the policy clairwatch-annotate does not refuse it", 1},
		"no pod":              {func(*podPatches) {}, nil, errNoPod, "no pod", 0},
		"another policy":      {func(p *podPatches) { p.answer = func(pod string) error { return policyRefusal("team", pod) } }, pods, nil, "ValidatingAdmissionPolicy 'team'", 2},
		"another, of one pod": {func(p *podPatches) { p.answer = first(policyRefusal("team", "app-0")) }, pods, nil, "", 4},
		"invalid, of one pod": {func(p *podPatches) { p.answer = first(invalid) }, pods, nil, "", 4},
		"a pod that has gone": {func(p *podPatches) {
			p.answer = first(apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "app-0"))
		}, pods, nil, "", 4},
		"a policy that quotes us": {func(p *podPatches) {
			p.answer = func(pod string) error {
				return policyRefusal("team says "+policyRefusal(annotatePolicy, pod).Error(), pod)
			}
		}, pods, nil, "ValidatingAdmissionPolicy 'team says", 2},
		"the API server is away": {func(p *podPatches) {
			p.answer = func(string) error { return apierrors.NewInternalError(errors.New("away")) }
		}, pods, nil, "away", 2},
	} {
		t.Run(name, func(t *testing.T) {
			inAnnotatingRig(t, func(t *testing.T, r *rig, p *podPatches) {
				r.run(whole[0].DeepCopy(), whole[1].DeepCopy())
				c.change(p)
				err := CheckConfinement(t.Context(), r.kube, c.pods)
				if (err != nil) != (c.says != "") || c.is != nil && !errors.Is(err, c.is) || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v", err)
				}
				if c.is == nil && (errors.Is(err, ErrUnconfined) || errors.Is(err, ErrNoRight)) {
					t.Errorf("%v is more than is known", err)
				}
				if p.tried != c.tried {
					t.Errorf("%d requests, want %d", p.tried, c.tried)
				}
				p.wantCarried()
			})
		})
	}
}
