package deploy_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// compose reads compose files as Docker does: by the schema, with these variables filled in and
// everything that is named there.
func compose(t *testing.T, values map[string]string, files ...string) *types.Project {
	t.Helper()
	details := types.ConfigDetails{WorkingDir: "compose", Environment: values}
	for _, file := range files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: filepath.Join("compose", file)})
	}
	project, err := loader.LoadWithContext(t.Context(), details)
	if err != nil {
		t.Fatalf("%v: %v", files, err)
	}
	return project
}

// filledIn returns the settings of env.example, with a password wherever one has to be set.
func filledIn(t *testing.T) map[string]string {
	t.Helper()
	values := settings(t, "compose/env.example")
	for name := range values {
		if role, secret := strings.CutSuffix(name, "_PASSWORD"); secret {
			values[name] = strings.ToLower(role) + "-password"
		}
	}
	return values
}

// inCompose finds the command lines of the services that run our programs.
func inCompose(t *testing.T) (all []line) {
	t.Helper()
	for name, s := range compose(t, filledIn(t), "compose.yaml").Services {
		if program, ours := strings.CutPrefix(s.Image, "gleaner-"); ours {
			all = append(all, line{"compose/compose.yaml: " + name, program, s.Command})
		}
	}
	return all
}

func TestTheServicesOfTheComposeFileFitTogether(t *testing.T) {
	c := compose(t, filledIn(t), "compose.yaml")
	dockerfile := text(t, "compose/Dockerfile")
	for name, s := range c.Services {
		for on, how := range s.DependsOn {
			other := c.Services[on]
			switch {
			case how.Condition == types.ServiceConditionHealthy && (other.HealthCheck == nil || len(other.HealthCheck.Test) == 0):
				t.Errorf("%s waits until %s is healthy, which is never asked", name, on)
			case how.Condition == types.ServiceConditionCompletedSuccessfully && slices.Contains([]string{"always", "unless-stopped"}, other.Restart):
				t.Errorf("%s waits for the end of %s, which never ends", name, on)
			}
		}
		if len(s.Ports) > 0 {
			t.Errorf("%s is published: %v", name, s.Ports)
		}
		networks := slices.Collect(maps.Keys(s.Networks))
		if !slices.Contains(networks, "inside") || slices.Contains(networks, "outside") && name != "ollama" {
			t.Errorf("%s is in the networks %v", name, networks)
		}
		for _, volume := range s.Volumes {
			if volume.Type != types.VolumeTypeBind || strings.HasSuffix(volume.Source, "/data") {
				continue // the datasets are the user's
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, ours := strings.CutPrefix(s.Image, "gleaner-"); ours {
			isHardened(t, name, s)
			if !strings.Contains(dockerfile, "\nFROM base AS "+s.Build.Target+"\n") || s.Image != "gleaner-"+s.Build.Target {
				t.Errorf("%s is built as %s, for the image %s", name, s.Build.Target, s.Image)
			}
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !regexp.MustCompile(`:[\w.-]+$`).MatchString(s.Image) {
			t.Errorf("%s runs %s, of no certain version", name, s.Image)
		}
	}
	if !c.Networks["inside"].Internal {
		t.Error("the network inside is not internal")
	}
}

func isHardened(t *testing.T, name string, s types.ServiceConfig) {
	t.Helper()
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("%s may do more than it needs", name)
	}
}

func TestTheSecondComposeFileGivesOllamaTheGPUAndChangesNothingElse(t *testing.T) {
	without, with := compose(t, filledIn(t), "compose.yaml").Services, compose(t, filledIn(t), "compose.yaml", "gpu.yaml").Services
	if diff := cmp.Diff(slices.Sorted(maps.Keys(without)), slices.Sorted(maps.Keys(with))); diff != "" {
		t.Errorf("services without and with gpu.yaml:\n%s", diff)
	}
	want := []types.DeviceRequest{{Driver: "nvidia", Count: 1, Capabilities: []string{"gpu"}}}
	if diff := cmp.Diff(want, with["ollama"].Deploy.Resources.Reservations.Devices); diff != "" {
		t.Errorf("Ollama's devices (-want +got):\n%s", diff)
	}
}

// Each variable of the compose file stands in env.example, and the other way round.
func TestTheExampleSettingsAreThoseOfTheComposeFile(t *testing.T) {
	values := settings(t, "compose/env.example")
	used := map[string]bool{}
	for _, match := range regexp.MustCompile(`\$\{([A-Z_]+)`).FindAllStringSubmatch(text(t, "compose/compose.yaml"), -1) {
		used[match[1]] = true
	}
	if a, b := slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(values)); !slices.Equal(a, b) {
		t.Errorf("the compose file uses %v, env.example has %v", a, b)
	}
	for name, value := range values {
		if strings.HasSuffix(name, "PASSWORD") && value != "" {
			t.Errorf("%s has a value that everybody knows", name)
		}
	}
}
