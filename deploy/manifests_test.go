package deploy_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// A scaledObject is what KEDA's manifest may say here, by its documentation: KEDA's own types
// would bring all its scalers.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int `json:"minReplicaCount"`
		MaxReplicaCount int `json:"maxReplicaCount"`
		PollingInterval int `json:"pollingInterval"`
		CooldownPeriod  int `json:"cooldownPeriod"`
		Triggers        []struct {
			Type     string            `json:"type"`
			Metadata map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// kinds are the types of Kubernetes' own API, by version and kind. A field that they do not have
// is an error. What only the API server checks cannot be checked without a cluster.
func kinds() map[string]func() metav1.Object {
	return map[string]func() metav1.Object{
		"v1 Namespace":                       func() metav1.Object { return new(corev1.Namespace) },
		"v1 ConfigMap":                       func() metav1.Object { return new(corev1.ConfigMap) },
		"v1 Service":                         func() metav1.Object { return new(corev1.Service) },
		"apps/v1 Deployment":                 func() metav1.Object { return new(appsv1.Deployment) },
		"apps/v1 StatefulSet":                func() metav1.Object { return new(appsv1.StatefulSet) },
		"batch/v1 Job":                       func() metav1.Object { return new(batchv1.Job) },
		"policy/v1 PodDisruptionBudget":      func() metav1.Object { return new(policyv1.PodDisruptionBudget) },
		"networking.k8s.io/v1 NetworkPolicy": func() metav1.Object { return new(networkingv1.NetworkPolicy) },
		"keda.sh/v1alpha1 ScaledObject":      func() metav1.Object { return new(scaledObject) },
	}
}

// A cluster of objects, by kind and name.
type objects map[string]metav1.Object

// manifests returns what kubectl apply -k would send, for both folders, and KEDA's object, which
// is applied by itself.
func manifests(t *testing.T) objects {
	t.Helper()
	all := objects{}
	for _, folder := range []string{"kubernetes", "kubernetes/run"} {
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
		if err != nil {
			t.Fatalf("kustomize %s: %v", folder, err)
		}
		for _, resource := range built.Resources() {
			document, err := resource.AsYAML()
			if err != nil {
				t.Fatal(err)
			}
			all.add(t, folder, document)
		}
	}
	all.add(t, "kubernetes/run/keda.yaml", []byte(text(t, "kubernetes/run/keda.yaml")))
	return all
}

func (all objects) add(t *testing.T, from string, document []byte) {
	t.Helper()
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(document, &meta); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	create := kinds()[meta.APIVersion+" "+meta.Kind]
	if create == nil {
		t.Fatalf("%s: no %s of %s is known here", from, meta.Kind, meta.APIVersion)
	}
	o := create()
	if err := yaml.UnmarshalStrict(document, o); err != nil {
		t.Fatalf("%s: %s: %v", from, meta.Kind, err)
	}
	key := meta.Kind + " " + o.GetName()
	if problems := validation.IsDNS1123Label(o.GetName()); len(problems) > 0 {
		t.Errorf("%s: the name of %s: %v", from, key, problems)
	}
	if all[key] != nil {
		t.Errorf("%s: %s stands there twice", from, key)
	}
	all[key] = o
}

// get returns the object of a kind and name.
func get[T metav1.Object](t *testing.T, all objects, key string) T {
	t.Helper()
	o, ok := all[key].(T)
	if !ok {
		t.Fatalf("there is no %s in the manifests", key)
	}
	return o
}

// pods returns the pods' templates by what makes them.
func (all objects) pods() map[string]corev1.PodTemplateSpec {
	found := map[string]corev1.PodTemplateSpec{}
	for name, o := range all {
		switch o := o.(type) {
		case *appsv1.Deployment:
			found[name] = o.Spec.Template
		case *appsv1.StatefulSet:
			found[name] = o.Spec.Template
		case *batchv1.Job:
			found[name] = o.Spec.Template
		}
	}
	return found
}

func containers(pod corev1.PodTemplateSpec) []corev1.Container {
	return append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...)
}

// ours returns which of our programs an image holds, wherever it is kept.
func ours(image string) (program string, ok bool) {
	name := image[strings.LastIndex(image, "/")+1:]
	program, ok = strings.CutPrefix(name, "gleaner-")
	program, _, _ = strings.Cut(program, ":")
	return program, ok
}
