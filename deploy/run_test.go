package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
)

// configured starts a real server with a configuration file, with its listeners and its files
// moved to where a test may have them.
func configured(t *testing.T, path string, adjust func(*server.Options)) *server.Server {
	t.Helper()
	for _, role := range []string{"PRODUCER", "CONSUMER", "SINK", "OPERATOR"} {
		t.Setenv("GLEANER_"+role+"_PASSWORD", strings.ToLower(role)+"-password")
	}
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !opts.JetStream || len(opts.Users) != 4 {
		t.Fatalf("%s: JetStream is %v, %d users", path, opts.JetStream, len(opts.Users))
	}
	opts.Host, opts.Port, opts.HTTPHost, opts.HTTPPort = "127.0.0.1", -1, "127.0.0.1", -1
	opts.StoreDir, opts.PidFile, opts.NoSigs, opts.NoLog = t.TempDir(), "", true, true
	opts.JetStreamMaxStore = 64 << 30 // a test's disk may be nearly full; what the streams reserve is never filled
	if adjust != nil {
		adjust(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatalf("%s: the server is not ready", path)
	}
	return s
}

// beside copies files into one folder, as the deployments mount them, and returns the path of the
// first.
func beside(t *testing.T, files map[string]string, first string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, first)
}

// The commands of the compose file run a dataset from its rows to its answers, each as the
// process that it is, with the users of the server's configuration. Only addresses, the model and
// the store are others.
func TestTheCommandsOfTheComposeFileAnswerADataset(t *testing.T) {
	nats := configured(t, beside(t, map[string]string{"nats.conf": text(t, "compose/nats.conf"), "permissions.conf": text(t, "nats/permissions.conf")}, "nats.conf"), nil)
	_, ollama := disguisetest.Start(t, ollamasim.Config{Models: []string{"sim"}, Instant: true}) // they are for real models

	values := filledIn(t)
	values["MODEL"] = "sim"
	store := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	there := strings.NewReplacer("nats:4222", strings.TrimPrefix(nats.ClientURL(), "nats://"), "http://ollama:11434", ollama,
		"/data/", "../internal/local/", "127.0.0.1:9090", "127.0.0.1:0")
	c := compose(t, values, "compose.yaml")
	command := func(name string) *processtest.Process {
		s := c.Services[name]
		cmd := exec.CommandContext(t.Context(), filepath.Join(programs(t), strings.TrimPrefix(s.Image, "gleaner-")))
		for _, arg := range s.Command {
			cmd.Args = append(cmd.Args, there.Replace(arg))
		}
		for variable, value := range s.Environment {
			set := there.Replace(*value)
			if variable == "MONGODB_URI" {
				set = store
			}
			cmd.Env = append(cmd.Env, variable+"="+set)
		}
		return processtest.Start(t, cmd)
	}
	command("load").Ends(0)
	serve := command("serve")
	command("consumer").Ends(0) // by itself, once the run is complete
	answers := command("export").Ends(0)
	serve.Stops()

	rows := strings.Count(text(t, "../internal/local/problems.jsonl"), "\n")
	if got := strings.Count(answers, `"response"`); got != rows || strings.Count(answers, "\n") != rows {
		t.Errorf("%d answers in %d lines for %d rows", got, strings.Count(answers, "\n"), rows)
	}
}
