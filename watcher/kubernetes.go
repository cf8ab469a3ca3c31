package watcher

import (
	"fmt"

	authenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

// Kubernetes are the groups of the API that clairwatch asks; client-go's clients have them and all others. Those are not
// linked: html/template calls methods by their names, so the linker keeps each one, and the clients, informers and listers
// of all groups are 20 MB of program, of which most comes to be in memory.
type Kubernetes interface {
	AuthenticationV1() authenticationv1.AuthenticationV1Interface
	AuthorizationV1() authorizationv1.AuthorizationV1Interface
	CoordinationV1() coordinationv1.CoordinationV1Interface
	CoreV1() corev1.CoreV1Interface
}

// NewKubernetes returns a client, which has asked nothing yet. As with client-go's all groups share a connection and a
// limit; UserAgent and Burst are to be set.
func NewKubernetes(config *rest.Config) (Kubernetes, error) {
	k, err := newKubernetesClient(config)
	if err != nil {
		return nil, fmt.Errorf("making the Kubernetes client: %w", err)
	}
	return k, nil
}

func newKubernetesClient(config *rest.Config) (k kubernetesClient, err error) {
	shared := rest.CopyConfig(config)
	if shared.RateLimiter == nil && shared.QPS > 0 {
		shared.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(shared.QPS, max(shared.Burst, 1))
	}
	client, err := rest.HTTPClientFor(shared)
	if err != nil {
		return k, err
	}
	if k.authentication, err = authenticationv1.NewForConfigAndClient(shared, client); err != nil {
		return k, err
	}
	if k.authorization, err = authorizationv1.NewForConfigAndClient(shared, client); err != nil {
		return k, err
	}
	if k.coordination, err = coordinationv1.NewForConfigAndClient(shared, client); err != nil {
		return k, err
	}
	k.core, err = corev1.NewForConfigAndClient(shared, client)
	return k, err
}

type kubernetesClient struct {
	authentication *authenticationv1.AuthenticationV1Client
	authorization  *authorizationv1.AuthorizationV1Client
	coordination   *coordinationv1.CoordinationV1Client
	core           *corev1.CoreV1Client
}

func (k kubernetesClient) AuthenticationV1() authenticationv1.AuthenticationV1Interface {
	return k.authentication
}

func (k kubernetesClient) AuthorizationV1() authorizationv1.AuthorizationV1Interface {
	return k.authorization
}

func (k kubernetesClient) CoordinationV1() coordinationv1.CoordinationV1Interface {
	return k.coordination
}

func (k kubernetesClient) CoreV1() corev1.CoreV1Interface { return k.core }
