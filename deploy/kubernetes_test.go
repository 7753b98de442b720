package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gleaner/internal/stream"
)

// inManifests finds the command lines of the containers that run our programs.
func inManifests(t *testing.T) (all []line) {
	t.Helper()
	for maker, pod := range manifests(t).pods() {
		file := map[string]string{"Deployment sink": "sink", "Deployment consumer": "consumer", "Job producer-words": "run/producer"}[maker]
		for _, c := range containers(pod) {
			if program, ours := ours(c.Image); ours {
				all = append(all, line{"kubernetes/" + file + ".yaml", program, c.Args})
			}
		}
	}
	return all
}

// Each pod is found by its selectors, mounts what exists, and may do no more than it needs.
func TestThePodsOfTheManifestsAreWhole(t *testing.T) {
	all := manifests(t)
	for maker, pod := range all.pods() {
		var claims []corev1.PersistentVolumeClaim
		selects := func(name string, selector *metav1.LabelSelector) {
			if diff := cmp.Diff(map[string]string{"app": pod.Labels["app"]}, selector.MatchLabels); diff != "" {
				t.Errorf("%s does not select its pods (-want +got):\n%s", maker, diff)
			}
			budget := get[*policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget "+name).Spec
			if diff := cmp.Diff(selector, budget.Selector); diff != "" {
				t.Errorf("the disruption budget of %s is for other pods (-pods +budget):\n%s", maker, diff)
			}
			if (budget.MaxUnavailable == nil) == (budget.MinAvailable == nil) {
				t.Errorf("the disruption budget of %s has to say one of maxUnavailable and minAvailable", maker)
			}
		}
		switch o := all[maker].(type) {
		case *appsv1.Deployment:
			selects(o.Name, o.Spec.Selector)
		case *appsv1.StatefulSet:
			selects(o.Name, o.Spec.Selector)
			claims = o.Spec.VolumeClaimTemplates
		}
		if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s: the pods have a token of the cluster", maker)
		}
		if pod.Spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s has no seccomp profile", maker)
		}
		for _, c := range containers(pod) {
			where := maker + ", " + c.Name
			mountsWhatThereIs(t, where, c, pod.Spec.Volumes, claims)
			probesWhatListens(t, where, c)
			if _, ours := ours(c.Image); ours || strings.HasPrefix(c.Image, "nats:") {
				mayDoLittle(t, where, c, pod.Spec)
			}
			if strings.HasPrefix(c.Image, "gleaner-") {
				t.Errorf("%s has an image without a registry", where)
			}
		}
	}
}

func mountsWhatThereIs(t *testing.T, where string, c corev1.Container, volumes []corev1.Volume, claims []corev1.PersistentVolumeClaim) {
	t.Helper()
	there := map[string]bool{}
	for _, v := range volumes {
		there[v.Name] = true
	}
	for _, claim := range claims {
		there[claim.Name] = true
	}
	for _, mount := range c.VolumeMounts {
		if !there[mount.Name] {
			t.Errorf("%s mounts %s, which is not there", where, mount.Name)
		}
	}
}

// probesWhatListens checks that probes go to named ports, and that what is probed over HTTP
// listens to more than loopback.
func probesWhatListens(t *testing.T, where string, c corev1.Container) {
	t.Helper()
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
		var name string
		switch {
		case p == nil:
			continue
		case p.HTTPGet != nil:
			name = p.HTTPGet.Port.StrVal
			if !strings.HasPrefix(p.HTTPGet.Path, "/healthz") {
				t.Errorf("%s: a probe asks for %s", where, p.HTTPGet.Path)
			}
		case p.TCPSocket != nil:
			name = p.TCPSocket.Port.StrVal
		default:
			continue
		}
		if ports[name] == 0 {
			t.Errorf("%s: a probe goes to the port %q", where, name)
		}
		if name == "http" && !slices.Contains(c.Args, fmt.Sprintf("0.0.0.0:%d", ports[name])) {
			t.Errorf("%s: the program does not listen where it is probed: %v", where, c.Args)
		}
	}
}

func mayDoLittle(t *testing.T, where string, c corev1.Container, pod corev1.PodSpec) {
	t.Helper()
	s, yes := c.SecurityContext, func(b *bool) bool { return b != nil && *b }
	if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !yes(s.ReadOnlyRootFilesystem) || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Fatalf("%s may do more than it needs", where)
	}
	if !yes(s.RunAsNonRoot) && !yes(pod.SecurityContext.RunAsNonRoot) {
		t.Errorf("%s may run as root", where)
	}
}

// Secrets are only referred to, and the README's commands make them with these names and keys.
func TestSecretsOfTheManifestsAreMadeByTheCommandsOfTheREADME(t *testing.T) {
	page := text(t, "kubernetes/README.md")
	made := map[string]bool{}
	for _, command := range regexp.MustCompile(`(?s)create secret generic (\S+) (.*?[^\\])\n`).FindAllStringSubmatch(page, -1) {
		for _, key := range regexp.MustCompile(`--from-literal=(\w+)=`).FindAllStringSubmatch(command[2], -1) {
			made[command[1]+"/"+key[1]] = true
		}
	}
	used := map[string]bool{}
	for maker, pod := range manifests(t).pods() {
		for _, c := range containers(pod) {
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					used[e.ValueFrom.SecretKeyRef.Name+"/"+e.ValueFrom.SecretKeyRef.Key] = true
				}
				if strings.Contains(e.Name, "PASSWORD") && e.Value != "" {
					t.Errorf("%s holds a password", maker)
				}
			}
		}
	}
	if diff := cmp.Diff(made, used); diff != "" {
		t.Errorf("secrets that the README makes and that are used (-made +used):\n%s", diff)
	}
	for name, file := range map[string]string{"nats-permissions": "../nats/permissions.conf", "dataset": "../../internal/local/problems.jsonl"} {
		if !regexp.MustCompile(`create configmap ` + name + ` --from-file=\S*` + regexp.QuoteMeta(file)).MatchString(page) {
			t.Errorf("the README does not make the ConfigMap %s", name)
		}
		if _, err := os.Stat(filepath.Join("kubernetes", file)); err != nil {
			t.Error(err)
		}
	}
}

// The queue, the model and the run have the same names wherever they stand.
func TestTheManifestsSpeakOfTheSameRun(t *testing.T) {
	all := manifests(t)
	scaled := get[*scaledObject](t, all, "ScaledObject consumer").Spec
	trigger := scaled.Triggers[0]
	service, namespace := get[*corev1.Service](t, all, "Service nats"), get[*corev1.Namespace](t, all, "Namespace gleaner")
	for name, o := range all {
		if in := o.GetNamespace(); name != "Namespace gleaner" && name != "ScaledObject consumer" && in != namespace.Name {
			t.Errorf("%s is in the namespace %q", name, in)
		}
	}
	want := map[string]string{
		"natsServerMonitoringEndpoint": fmt.Sprintf("%s.%s.svc.cluster.local:8222", service.Name, namespace.Name),
		"account":                      "GLEANER", "stream": stream.WorkStream, "consumer": argument(t, all, "Deployment consumer", "consumer", "--run"),
		"lagThreshold": "40", "activationLagThreshold": "0",
	}
	if diff := cmp.Diff(want, trigger.Metadata); diff != "" || trigger.Type != "nats-jetstream" {
		t.Errorf("KEDA reads other numbers (-want +got):\n%s", diff)
	}
	if _, there := all["Deployment "+scaled.ScaleTargetRef.Name]; !there || scaled.MinReplicaCount != 0 || scaled.MaxReplicaCount < 1 {
		t.Errorf("KEDA scales %+v", scaled)
	}
	runs := []string{trigger.Metadata["consumer"], argument(t, all, "Job producer-words", "load", "--run"), argument(t, all, "Job producer-words", "producer", "--run")}
	if len(slices.Compact(runs)) != 1 {
		t.Errorf("the run has the names %v", runs)
	}
	for _, c := range all.pods()["Deployment consumer"].Spec.InitContainers {
		if model := argument(t, all, "Job producer-words", "load", "--model"); c.Name == "pull" && !slices.Equal(c.Args, []string{"pull", model}) {
			t.Errorf("the consumers pull %v, the run has the model %s", c.Args, model)
		}
	}
	if !strings.Contains(get[*corev1.ConfigMap](t, all, "ConfigMap nats").Data["nats.conf"], fmt.Sprintf("nats-%d.%s:6222", *get[*appsv1.StatefulSet](t, all, "StatefulSet nats").Spec.Replicas-1, service.Name)) {
		t.Error("the routes are not those of the set's pods")
	}
	for maker, name := range map[string]string{"Deployment sink": "sink", "Job producer-words": "producer"} {
		if copies := argument(t, all, maker, name, "--replicas"); copies != "3" {
			t.Errorf("%s makes streams with %s copies", maker, copies)
		}
	}
}

// argument returns the value of a flag of a container.
func argument(t *testing.T, all objects, maker, name, flag string) string {
	t.Helper()
	for _, c := range containers(all.pods()[maker]) {
		if at := slices.Index(c.Args, flag); c.Name == name && at >= 0 && at+1 < len(c.Args) {
			return c.Args[at+1]
		}
	}
	t.Fatalf("%s, %s has no %s", maker, name, flag)
	return ""
}

// A pod has at least as much time to end as its program takes. Otherwise work that could have been
// finished is done again.
func TestAPodHasTimeForItsProgramsGrace(t *testing.T) {
	all := manifests(t)
	grace, err := time.ParseDuration(argument(t, all, "Deployment consumer", "consumer", "--grace"))
	if err != nil {
		t.Fatal(err)
	}
	if pod := all.pods()["Deployment consumer"].Spec.TerminationGracePeriodSeconds; pod == nil || time.Duration(*pod)*time.Second <= grace {
		t.Errorf("the pod has %v s to end, the consumer's grace is %s", pod, grace)
	}
}
