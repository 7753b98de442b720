package deploy_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A composition is what a compose file may say here. There is no field for ports: no server is published.
type composition struct {
	Name     string
	Template yaml.Node `yaml:"x-gleaner"`
	Services map[string]service
	Networks map[string]struct{ Internal bool }
	Volumes  map[string]struct{}
}

type service struct {
	Image, Restart string
	Build          struct{ Context, Dockerfile, Target string }
	Command        []string
	Environment    map[string]string
	Volumes        []string
	Networks       []string
	ReadOnly       bool                                  `yaml:"read_only"`
	CapDrop        []string                              `yaml:"cap_drop"`
	SecurityOpt    []string                              `yaml:"security_opt"`
	StopGrace      string                                `yaml:"stop_grace_period"`
	DependsOn      map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck    struct {
		Test              []string
		Interval, Timeout string
		Retries           int
	}
	Deploy struct {
		Resources struct {
			Reservations struct {
				Devices []struct {
					Driver       string
					Count        int
					Capabilities []string
				}
			}
		}
	}
}

func compose(t *testing.T, file string) (c composition) {
	t.Helper()
	path := filepath.Join("compose", file)
	parse(t, path, []byte(text(t, path)), &c)
	return c
}

// fill puts the variables of env.example into a text, as compose does.
func fill(t *testing.T, content string, values map[string]string) string {
	t.Helper()
	return regexp.MustCompile(`\$\{([A-Z_]+)(:[?-][^}]*)?\}`).ReplaceAllStringFunc(content, func(match string) string {
		name := regexp.MustCompile(`[A-Z_]+`).FindString(match)
		value, ok := values[name]
		if !ok {
			t.Errorf("%s is not in env.example", name)
		}
		return value
	})
}

// inCompose finds the command lines of the services that run our programs.
func inCompose(t *testing.T) (all []line) {
	t.Helper()
	values := settings(t, "compose/env.example")
	for name, s := range compose(t, "compose.yaml").Services {
		program, ours := strings.CutPrefix(s.Image, "gleaner-")
		if !ours {
			continue
		}
		var args []string
		for _, arg := range s.Command {
			args = append(args, fill(t, arg, values))
		}
		all = append(all, line{"compose/compose.yaml: " + name, program, args})
	}
	return all
}

func TestTheServicesOfTheComposeFileFitTogether(t *testing.T) {
	c := compose(t, "compose.yaml")
	dockerfile := text(t, "compose/Dockerfile")
	for name, s := range c.Services {
		for on, how := range s.DependsOn {
			other, there := c.Services[on]
			switch {
			case !there:
				t.Errorf("%s waits for %s, which is not there", name, on)
			case how.Condition == "service_healthy" && len(other.Healthcheck.Test) == 0:
				t.Errorf("%s waits until %s is healthy, which is never asked", name, on)
			case how.Condition == "service_completed_successfully" && slices.Contains([]string{"always", "unless-stopped"}, other.Restart):
				t.Errorf("%s waits for the end of %s, which never ends", name, on)
			case !slices.Contains([]string{"service_healthy", "service_started", "service_completed_successfully"}, how.Condition):
				t.Errorf("%s waits for %s to be %s", name, on, how.Condition)
			}
		}
		if !slices.Contains(s.Networks, "inside") || slices.Contains(s.Networks, "outside") && name != "ollama" {
			t.Errorf("%s is in the networks %v", name, s.Networks)
		}
		for _, volume := range s.Volumes {
			from := strings.Split(volume, ":")[0]
			if _, declared := c.Volumes[from]; declared || from == "./data" {
				continue
			}
			if _, err := os.Stat(filepath.Join("compose", from)); err != nil {
				t.Errorf("%s mounts %s: %v", name, from, err)
			}
		}
		if _, ours := strings.CutPrefix(s.Image, "gleaner-"); ours {
			isHardened(t, name, s)
			if !strings.Contains(dockerfile, "\nFROM base AS "+s.Build.Target+"\n") || s.Image != "gleaner-"+s.Build.Target {
				t.Errorf("%s is built as %s, for the image %s", name, s.Build.Target, s.Image)
			}
			if _, err := os.Stat(filepath.Join("compose", s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !regexp.MustCompile(`:[\w.-]+$`).MatchString(s.Image) {
			t.Errorf("%s runs %s, of no certain version", name, s.Image)
		}
	}
	if !c.Networks["inside"].Internal {
		t.Error("the network inside is not internal")
	}
	for name := range compose(t, "gpu.yaml").Services {
		if _, there := c.Services[name]; !there {
			t.Errorf("gpu.yaml changes %s, which is not there", name)
		}
	}
}

func isHardened(t *testing.T, name string, s service) {
	t.Helper()
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("%s may do more than it needs", name)
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
