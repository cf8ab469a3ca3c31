package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// fieldManager owns the fields of what is applied: the name that kubectl uses,
// so that an Apply can be continued by "kubectl apply --server-side".
const fieldManager = "kubectl"

// Apply does what "kubectl apply --server-side -f path" does, as administrator:
// it applies the objects of a manifest of one or several YAML documents in
// their order. A conflict with another field manager is an error.
func (s *Sandbox) Apply(ctx context.Context, path string) error {
	manifest, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading a manifest: %w", err)
	}
	if err := s.ApplyYAML(ctx, manifest); err != nil {
		return fmt.Errorf("applying %s: %w", path, err)
	}
	return nil
}

// ApplyYAML is [Sandbox.Apply] for a manifest in memory.
func (s *Sandbox) ApplyYAML(ctx context.Context, manifest []byte) error {
	if s.admin == nil {
		return errNoAPIServer
	}
	objects, err := decodeManifest(manifest)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(s.admin)
	if err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	discoverer, err := discovery.NewDiscoveryClientForConfig(s.admin)
	if err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discoverer))
	for _, object := range objects {
		if err := applyObject(ctx, client, mapper, object); err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

func applyObject(ctx context.Context, client dynamic.Interface, mapper meta.RESTMapper, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace := object.GetNamespace()
		if namespace == "" {
			namespace = metav1.NamespaceDefault
		}
		resource = client.Resource(mapping.Resource).Namespace(namespace)
	}
	_, err = resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager})
	return err
}

// decodeManifest reads all objects of a manifest, those of a List too. Empty
// documents are passed over.
func decodeManifest(manifest []byte) ([]*unstructured.Unstructured, error) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	var objects []*unstructured.Unstructured
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading document %d: %w", number, err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			return nil, fmt.Errorf("reading document %d: %w", number, err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if !object.IsList() {
			objects = append(objects, object)
			continue
		}
		err = object.EachListItem(func(item runtime.Object) error {
			objects = append(objects, item.(*unstructured.Unstructured))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading the list of document %d: %w", number, err)
		}
	}
}
