package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/stream"
)

// inManifests finds the command lines of the containers that run our programs.
func inManifests(t *testing.T) (all []line) {
	t.Helper()
	for maker, pod := range pods(objects(t)) {
		file := map[string]string{"Deployment sink": "sink", "Deployment consumer": "consumer", "Job producer-words": "run/producer"}[maker]
		for _, c := range pod.Spec.all() {
			if program, ours := strings.CutPrefix(c.Image, "gleaner-"); ours {
				all = append(all, line{"kubernetes/" + file + ".yaml", program, c.Args})
			}
		}
	}
	return all
}

// Each pod is found by what looks for it, mounts what it has, and may do no more than it needs.
func TestThePodsOfTheManifestsAreWhole(t *testing.T) {
	all := objects(t)
	for maker, pod := range pods(all) {
		o := all[maker]
		if o.Kind != "Job" {
			want := map[string]any{"matchLabels": map[string]any{"app": pod.Metadata.Labels["app"]}}
			if diff := cmp.Diff(want, o.Spec.Selector); diff != "" {
				t.Errorf("%s does not select its pods (-want +got):\n%s", maker, diff)
			}
			if _, there := all["PodDisruptionBudget "+o.Metadata.Name]; !there {
				t.Errorf("%s has no disruption budget", maker)
			}
		}
		if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s: the pods have a token of the cluster", maker)
		}
		if pod.Spec.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
			t.Errorf("%s has no seccomp profile", maker)
		}
		for _, c := range pod.Spec.all() {
			where := maker + ", " + c.Name
			mountsWhatThereIs(t, where, c, o)
			probesWhatListens(t, where, c)
			if strings.HasPrefix(c.Image, "gleaner-") || strings.HasPrefix(c.Image, "nats:") {
				mayDoLittle(t, where, c, pod.Spec)
			}
		}
	}
	for name, o := range all {
		if o.Kind == "PodDisruptionBudget" && (o.Spec.MaxUnavailable == nil) == (o.Spec.MinAvailable == nil) {
			t.Errorf("%s: one of maxUnavailable and minAvailable is needed", name)
		}
	}
}

func mountsWhatThereIs(t *testing.T, where string, c container, o object) {
	t.Helper()
	var volumes []string
	for _, v := range o.Spec.Template.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, claim := range o.Spec.VolumeClaims {
		volumes = append(volumes, claim.Metadata.Name)
	}
	for _, mount := range c.VolumeMounts {
		if !slices.Contains(volumes, mount.Name) {
			t.Errorf("%s mounts %s, which is not there", where, mount.Name)
		}
	}
}

// probesWhatListens checks that probes go to named ports, and that what is probed over HTTP listens to more than loopback.
func probesWhatListens(t *testing.T, where string, c container) {
	t.Helper()
	ports := map[string]int{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for _, p := range []*probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
		if p == nil {
			continue
		}
		name := p.HTTPGet.Port + p.TCPSocket.Port
		if name == "" {
			continue
		}
		if ports[name] == 0 {
			t.Errorf("%s: a probe goes to the port %q", where, name)
		}
		if name == "http" && !slices.Contains(c.Args, "0.0.0.0:"+strconv.Itoa(ports[name])) {
			t.Errorf("%s: the program does not listen where it is probed: %v", where, c.Args)
		}
		if p.HTTPGet.Port != "" && !strings.HasPrefix(p.HTTPGet.Path, "/healthz") {
			t.Errorf("%s: a probe asks for %s", where, p.HTTPGet.Path)
		}
	}
}

func mayDoLittle(t *testing.T, where string, c container, pod podSpec) {
	t.Helper()
	s := c.SecurityContext
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("%s may do more than it needs", where)
	}
	if !s.RunAsNonRoot && !pod.SecurityContext.RunAsNonRoot {
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
	for maker, pod := range pods(objects(t)) {
		for _, c := range pod.Spec.all() {
			for _, e := range c.Env {
				if r := e.ValueFrom.SecretKeyRef; r.Name != "" {
					used[r.Name+"/"+r.Key] = true
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
	all := objects(t)
	scaled := all["ScaledObject consumer"].Spec
	trigger := scaled.Triggers[0]
	service, namespace := all["Service nats"], all["Namespace gleaner"]
	for _, folder := range []string{"kubernetes", "kubernetes/run"} {
		kustomization := all["Kustomization "+folder+"/kustomization.yaml"]
		if namespace.Kind == "" || kustomization.Namespace != namespace.Metadata.Name {
			t.Errorf("the namespace is %q in the kustomization of %s", kustomization.Namespace, folder)
		}
		for _, file := range kustomization.Resources {
			if _, err := os.Stat(filepath.Join(folder, file)); err != nil {
				t.Error(err)
			}
		}
	}
	want := map[string]string{
		"natsServerMonitoringEndpoint": fmt.Sprintf("%s.%s.svc.cluster.local:8222", service.Metadata.Name, namespace.Metadata.Name),
		"account":                      "$G", "stream": stream.WorkStream, "consumer": argument(t, all, "Deployment consumer", "consumer", "--run"),
		"lagThreshold": "40", "activationLagThreshold": "0",
	}
	if diff := cmp.Diff(want, trigger.Metadata); diff != "" || trigger.Type != "nats-jetstream" {
		t.Errorf("KEDA looks elsewhere (-want +got):\n%s", diff)
	}
	if _, there := all["Deployment "+scaled.ScaleTargetRef.Name]; !there || scaled.MinReplicaCount != 0 || scaled.MaxReplicaCount < 1 {
		t.Errorf("KEDA scales %+v", scaled)
	}
	runs := []string{trigger.Metadata["consumer"], argument(t, all, "Job producer-words", "load", "--run"), argument(t, all, "Job producer-words", "producer", "--run")}
	if len(slices.Compact(runs)) != 1 {
		t.Errorf("the run has the names %v", runs)
	}
	for _, c := range all["Deployment consumer"].Spec.Template.Spec.InitContainers {
		if model := argument(t, all, "Job producer-words", "load", "--model"); c.Name == "pull" && !slices.Equal(c.Args, []string{"pull", model}) {
			t.Errorf("the consumers pull %v, the run has the model %s", c.Args, model)
		}
	}
	if !strings.Contains(all["ConfigMap nats"].Data["nats.conf"], fmt.Sprintf("nats-%d.%s:6222", *all["StatefulSet nats"].Spec.Replicas-1, service.Metadata.Name)) {
		t.Error("the routes are not those of the set's pods")
	}
	for maker, name := range map[string]string{"Deployment sink": "sink", "Job producer-words": "producer"} {
		if copies := argument(t, all, maker, name, "--replicas"); copies != "3" {
			t.Errorf("%s makes streams with %s copies", maker, copies)
		}
	}
}

// argument returns the value of a flag of a container.
func argument(t *testing.T, all map[string]object, maker, name, flag string) string {
	t.Helper()
	for _, c := range all[maker].Spec.Template.Spec.all() {
		if at := slices.Index(c.Args, flag); c.Name == name && at >= 0 && at+1 < len(c.Args) {
			return c.Args[at+1]
		}
	}
	t.Fatalf("%s, %s has no %s", maker, name, flag)
	return ""
}

// A pod has at least as long to end as its program takes, or work that could have been finished is done again.
func TestAPodHasTimeForItsProgramsGrace(t *testing.T) {
	all := objects(t)
	grace := argument(t, all, "Deployment consumer", "consumer", "--grace")
	seconds, err := strconv.Atoi(strings.TrimSuffix(grace, "s"))
	if err != nil {
		t.Fatal(err)
	}
	if pod := all["Deployment consumer"].Spec.Template.Spec.TerminationGracePeriodSeconds; pod <= seconds {
		t.Errorf("the pod has %d s, the consumer's grace is %s", pod, grace)
	}
}

// Every image of ours gets a registry by the kustomization that its manifest belongs to.
func TestEveryImageOfOursGetsARegistry(t *testing.T) {
	for name, o := range objects(t) {
		file, ok := strings.CutPrefix(name, "Kustomization ")
		if !ok {
			continue
		}
		used, named := map[string]bool{}, map[string]bool{}
		for _, resource := range o.Resources {
			for _, image := range regexp.MustCompile(`image: (gleaner-\S+)`).FindAllStringSubmatch(text(t, filepath.Join(filepath.Dir(file), resource)), -1) {
				used[image[1]] = true
			}
		}
		for _, image := range o.Images {
			named[image.Name] = image.NewName == "registry.example/"+image.Name && image.NewTag != ""
		}
		if diff := cmp.Diff(used, named); diff != "" || len(used) == 0 {
			t.Errorf("%s (-images of its manifests +images that it names):\n%s", file, diff)
		}
	}
}
