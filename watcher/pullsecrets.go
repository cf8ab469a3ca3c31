package watcher

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clairwatch/clairwatch/registry"
)

const (
	// secretSweeps is how many sweeps long what was read of an image pull secret is good: five minutes.
	secretSweeps = 5
	// secretTime is how long reading one may take.
	secretTime = 10 * time.Second
	// mostSecrets bounds how many are tried for one image, mostSecretsKept how many are kept, and mostBytesKept how much
	// of their data.
	mostSecrets, mostSecretsKept = 16, 1024
	mostBytesKept                = 8 << 20
	// mostSaid is of how many secrets of a namespace the log says that they may not be read.
	mostSaid = 64
	// mostConfig bounds the data of one, in bytes. It has some hundred bytes for each registry.
	mostConfig = 128 << 10
)

// secretName is the name of a Secret.
type secretName struct{ namespace, name string }

func (n secretName) String() string { return n.namespace + "/" + n.name }

// secretsError says that image pull secrets are there and cannot be used.
type secretsError struct {
	unusable []unusableSecret
}

// unusableSecret is one of them, and why.
type unusableSecret struct {
	secret secretName
	err    error
}

func (e *secretsError) Error() string {
	var why []string
	for _, u := range e.unusable {
		why = append(why, fmt.Sprintf("the image pull secret %s cannot be used: %v", u.secret, u.err))
	}
	return strings.Join(why, "; ")
}

func (e *secretsError) Unwrap() []error {
	var errs []error
	for _, u := range e.unusable {
		errs = append(errs, u.err)
	}
	return errs
}

// lasting says whether all of them stay as they are until somebody mends them.
func (e *secretsError) lasting() bool {
	return !slices.ContainsFunc(e.unusable, func(u unusableSecret) bool {
		return !errors.Is(u.err, errForbidden) && !errors.Is(u.err, errNoConfig) && !errors.Is(u.err, errLarge)
	})
}

// errForbidden says that the daemon has no right to read a Secret, which is so by default.
var errForbidden = errors.New("clairwatch has no right to read it")

// errLarge says that a Secret has more data than a docker config that anybody writes.
var errLarge = fmt.Errorf("its data has more than %d KiB", mostConfig>>10)

// errNoConfig says that the data of a Secret is damaged.
var errNoConfig = errors.New("its data is not the JSON of a docker config")

// pullSecrets reads the image pull secrets of pods: each by its name, only when a registry has refused to go without,
// and never a list of them. Where that is forbidden there are none.
type pullSecrets struct {
	client Kubernetes
	keep   time.Duration // what was read

	mu    sync.Mutex
	kept  map[secretName]keptSecret // guarded by mu
	bytes int                       // of what is kept; guarded by mu
	// said are the secrets of each namespace of which the log has said that they may not be read; guarded by mu.
	said map[string]map[string]bool
}

// keptSecret is what came of reading one.
type keptSecret struct {
	config []byte // a docker config; nil: none
	legacy bool   // of the older form
	lacks  string // why there is none
	err    error
	until  time.Time
}

func newPullSecrets(client Kubernetes, keep time.Duration) *pullSecrets {
	return &pullSecrets{client: client, keep: keep, kept: make(map[secretName]keptSecret), said: make(map[string]map[string]bool)}
}

// of returns the image pull secrets that some pods name, in their order.
func (p *pullSecrets) of(pods []*pod) podSecrets {
	var names []secretName
	for _, pod := range slices.SortedFunc(slices.Values(pods), func(a, b *pod) int { return strings.Compare(a.name, b.name) }) {
		for _, secret := range pod.pullSecrets {
			name := secretName{pod.namespace(), secret.Value()}
			// The API server takes any text here. What is no name of a Secret is none, and in no command.
			if len(validation.IsDNS1123Subdomain(name.name)) == 0 && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return podSecrets{pullSecrets: p, names: names[:min(len(names), mostSecrets)]}
}

// podSecrets are the image pull secrets of the pods that run one image.
type podSecrets struct {
	*pullSecrets
	names []secretName
	// used, where set, is told what the secrets gave for a repository.
	used func(secretsUse)
}

// secretsUse is what image pull secrets gave.
type secretsUse struct {
	sum secretsSum
	// lacks says, for people, which of them gave nothing, and why.
	lacks string
}

// secretsSum is another value when other image pull secrets are named, or what they give is another: their data, or that
// they may not be read.
type secretsSum [sha256.Size]byte

// Lookup is that of [registry.Credentials]: what a kubelet would present. It returns a [*secretsError] beside what the
// secrets hold that can be used.
func (p podSecrets) Lookup(ctx context.Context, repo string) ([]registry.Credential, error) {
	keyring, sum, err := p.read(ctx)
	found := keyring.Lookup(repo)
	if p.used != nil {
		p.used(secretsUse{sum, p.lacks(ctx, found, repo)})
	}
	return found, err
}

// lacks says why image pull secrets hold nothing for a repository although they can be read; empty where there is
// something.
func (p podSecrets) lacks(ctx context.Context, found []registry.Credential, repo string) string {
	if len(found) > 0 {
		return ""
	}
	var why []string
	for _, name := range p.names {
		switch s := p.get(ctx, name); {
		case s.err != nil: // which is an error
		case s.lacks != "":
			why = append(why, name.String()+" "+s.lacks)
		default:
			why = append(why, name.String()+" has nothing for "+repo)
		}
	}
	return strings.Join(why, "; ")
}

// read returns what the secrets hold, all in one keyring as the kubelet has it. One that does not exist is left out, as
// the kubelet does: templates of pods often name one that only some namespaces have.
func (p podSecrets) read(ctx context.Context) (*registry.Keyring, secretsSum, error) {
	keyring, failed, sum := new(registry.Keyring), new(secretsError), sha256.New()
	for _, name := range p.names {
		s := p.get(ctx, name)
		if s.err == nil && s.config != nil && keyring.Add(s.config, s.legacy) != nil {
			s.err = errNoConfig
		}
		data := sha256.Sum256(s.config)
		fmt.Fprintln(sum, name, s.config != nil, s.legacy, data, s.err)
		if s.err != nil {
			failed.unusable = append(failed.unusable, unusableSecret{name, s.err})
		}
	}
	if len(failed.unusable) > 0 {
		return keyring, secretsSum(sum.Sum(nil)), failed
	}
	return keyring, secretsSum(sum.Sum(nil)), nil
}

// get returns an image pull secret as it was a short while ago.
func (p *pullSecrets) get(ctx context.Context, name secretName) keptSecret {
	p.mu.Lock()
	s, kept := p.kept[name]
	p.mu.Unlock()
	if kept && time.Now().Before(s.until) {
		return s
	}
	return p.readNow(ctx, name)
}

// readNow reads an image pull secret and keeps it, unless it could not be asked for.
func (p *pullSecrets) readNow(ctx context.Context, name secretName) keptSecret {
	ctx, cancel := context.WithTimeout(ctx, secretTime)
	defer cancel()
	secret, err := p.client.CoreV1().Secrets(name.namespace).Get(ctx, name.name, metav1.GetOptions{})
	s := keptSecret{until: time.Now().Add(p.keep)}
	switch {
	case apierrors.IsNotFound(err):
		s.lacks = "does not exist"
	case apierrors.IsForbidden(err):
		s.err = errForbidden
	case err != nil:
		s.err, s.until = fmt.Errorf("reading it: %w", err), time.Time{}
	default:
		if s.config, s.legacy = dockerConfig(secret); s.config == nil {
			s.lacks = fmt.Sprintf("has the type %.60q, and no %s with data", secret.Type, corev1.DockerConfigJsonKey)
			if secret.Type != corev1.SecretTypeDockerConfigJson {
				s.lacks = fmt.Sprintf("has the type %.60q, not %s", secret.Type, corev1.SecretTypeDockerConfigJson)
			}
		}
		if len(s.config) > mostConfig {
			s.config, s.err = nil, errLarge
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.kept, func(other secretName, s keptSecret) bool {
		ended := other == name || !time.Now().Before(s.until)
		if ended {
			p.bytes -= len(s.config)
		}
		return ended
	})
	if !s.until.IsZero() && len(p.kept) < mostSecretsKept && p.bytes+len(s.config) <= mostBytesKept {
		p.kept[name] = s
		p.bytes += len(s.config)
	}
	if !errors.Is(s.err, errForbidden) {
		if delete(p.said[name.namespace], name.name); len(p.said[name.namespace]) == 0 {
			delete(p.said, name.namespace)
		}
	}
	return s
}

// isNew says whether the log has not said yet that a secret may not be read. After many of one namespace it says no more:
// anybody who makes pods can make names up.
func (p *pullSecrets) isNew(name secretName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.said[name.namespace]
	if of[name.name] || len(of) >= mostSaid {
		return false
	}
	if of == nil {
		of = make(map[string]bool)
		p.said[name.namespace] = of
	}
	of[name.name] = true
	return true
}

// dockerConfig is what a kubelet takes from a Secret; nil from one of another type (kubernetes
// pkg/credentialprovider/secrets).
func dockerConfig(secret *corev1.Secret) (config []byte, legacy bool) {
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		config = secret.Data[corev1.DockerConfigJsonKey]
	case corev1.SecretTypeDockercfg:
		config, legacy = secret.Data[corev1.DockerConfigKey], true
	}
	if len(config) == 0 {
		return nil, false
	}
	return config, legacy
}

// grant is the command that lets clairwatch read one image pull secret, and nothing else.
func (p *pullSecrets) grant(ctx context.Context, name secretName, settings string) string {
	role := "clairwatch-" + name.name
	return fmt.Sprintf("kubectl -n %[1]s create role %[2]s --verb=get --resource=secrets --resource-name=%[3]s && "+
		"kubectl -n %[1]s create rolebinding %[2]s --role=%[2]s %[4]s", name.namespace, role, name.name, p.subject(ctx, settings))
}

// subject names in a kubectl command who clairwatch is; settings is the namespace of its settings.
func (p *pullSecrets) subject(ctx context.Context, settings string) string {
	ctx, cancel := context.WithTimeout(ctx, secretTime)
	defer cancel()
	review, err := p.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username == "" { // as the manifest has it
		return "--serviceaccount=" + settings + ":clairwatch"
	}
	const prefix = "system:serviceaccount:"
	if account, ok := strings.CutPrefix(review.Status.UserInfo.Username, prefix); ok {
		return "--serviceaccount=" + account
	}
	return "--user='" + strings.ReplaceAll(review.Status.UserInfo.Username, "'", `'\''`) + "'"
}
