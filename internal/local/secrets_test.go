package local_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gleaner/internal/cli/processtest"
)

// password is what no output may show, nor a part of it.
const password = "hunter2secretword"

// Addresses with a password that are wrong in several ways, or lead nowhere.
func wrongAddresses() map[string][]string {
	return map[string][]string{
		"--store": {
			"mongodb://user:P@host:port/db", "mongodb://user:P@", "mongodb:/user:P@host/db", "mongodb//user:P@host/db", "mongodb://user:P%zz@host/db",
			"mongodb://user:P/x@host/db", "mongodb://user:P?x@host/db", "mongodb://user:P#x@host/db", "postgres://user:P@host/db", "user:P@host", ":P@host",
			"mongodb://user:P@host/a b", "mongodb://user:P@host/db?authMechanism=none", "mongodb://user:P@host/db?tlsCertificateKeyFilePassword=P&w=x", "mongodb://user:P@127.0.0.1:1/db?serverSelectionTimeoutMS=200",
			"mongodb+srv://user:P@no-such-host.invalid/db", "mongodb+srv://user:P@host:27017/db", "mongodb://user:a:P@host/db", "mongodb://user:a@P@host/db", "mongodb:user:P@host/db", "mongodb ://user:P@host/db",
		},
		"--nats-url": {
			"nats://user:P@host:port", "nats://user:P@", "nats:/user:P@host", "nats//user:P@host", "nats://user:P%zz@host", "nats://user:P/x@host", "nats://user:P?x@host", "nats://user:P#x@host",
			"http://user:P@host", "user:P@127.0.0.1:1", "nats://P@127.0.0.1:1", "nats://user:P@127.0.0.1:1,user:P@127.0.0.1:2", "nats://user:P,x@127.0.0.1:1", "nats://user:a:P@127.0.0.1:1", "nats://user:a@P@127.0.0.1:1", "tls://user:P@127.0.0.1:1", "nats ://user:P@host",
		},
		"--nats-creds": {"-----BEGIN NATS USER JWT-----\nP\n------END NATS USER JWT------\n", "eyJ0eXAiP.eyJqdGkiP.P"},
		"--ollama": {
			"http://user:P@host:port", "http://user:P@", "http:/user:P@host", "http//user:P@host", "http://user:P%zz@host", "http://user:P/x@host", "http://user:P?x@host", "http://user:P#x@host",
			"ftp://user:P@host", "user:P@127.0.0.1:1", "http://user:P,x@127.0.0.1:1", "http://user:a:P@127.0.0.1:1", "http://user:a@P@127.0.0.1:1", "http ://user:P@host",
		},
	}
}

// No program shows a password, however the address is wrong that it stands in, whether a flag or a
// variable holds it, and whatever else is wrong with the command line.
func TestNoProgramShowsThePasswordOfAnAddressThatIsWrong(t *testing.T) {
	t.Parallel()
	p := build(t, "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))
	p.run("producer", "load", "--run", "r", "--input", rows(t), "--field", "question", "--simulate", "--model", "sim")
	variables := map[string]string{"--store": "MONGODB_URI", "--nats-url": "NATS_URL", "--nats-creds": "NATS_CREDS", "--ollama": "OLLAMA_HOST"}
	lines := map[string][]string{
		"--store":      {"producer status", "producer dead list", "sink show --run r", "sink serve", "gleaner publish --run r"},
		"--nats-url":   {"producer dead list", "producer publish --run r", "sink serve", "consumer --run r", "gleaner status --run r"},
		"--nats-creds": {"producer dead list", "sink export --run r --with-failed --out /dev/null", "consumer --run r"},
		"--ollama":     {"consumer --run r", "gleaner run --limit 1 --model m --field question --input " + rows(t), "gleaner work --run r"},
	}
	running := make(chan struct{}, 40) // most of them wait
	var all sync.WaitGroup
	for flag, addresses := range wrongAddresses() {
		for i, address := range addresses {
			address = strings.ReplaceAll(address, "P", password)
			line := strings.Fields(lines[flag][i%len(lines[flag])])
			words := strings.Fields(address) // as a shell passes an address that is not quoted
			for name, c := range map[string]struct {
				args []string
				env  string
			}{
				"the flag":                  {[]string{flag, address}, ""},
				"the flag in one word":      {[]string{flag + "=" + address}, ""},
				"the variable":              {nil, variables[flag] + "=" + address},
				"an unknown flag after it":  {[]string{flag, address, "--nonsense"}, ""},
				"a wrong flag":              {[]string{flag + "s=" + address}, ""},
				"one dash":                  {[]string{"-" + strings.TrimLeft(flag, "-") + "=" + address}, ""},
				"no flag":                   {[]string{address}, ""},
				"a word too many":           {append(append([]string{flag}, words...), password, "word"), ""},
				"as a number":               {[]string{"--lease=" + address}, ""},
				"the variable and nonsense": {[]string{"--nonsense"}, variables[flag] + "=" + address},
				"the variable and help":     {[]string{"--help"}, variables[flag] + "=" + address},
			} {
				if i > 1 && name != "the flag" && name != "the variable" {
					continue // it depends on the flag more than on the address
				}
				all.Go(func() {
					running <- struct{}{}
					defer func() { <-running }()
					cmd := exec.Command(filepath.Join(p.dir, line[0]), append(line[1:len(line):len(line)], c.args...)...)
					cmd.Env = append(slices.Clone(p.env), "OLLAMA_HOST=http://127.0.0.1:1", "NATS_URL=nats://127.0.0.1:1", c.env)
					checkHides(t, processtest.Start(t, cmd), fmt.Sprintf("%s with %s: %s %s", line, name, flag, address))
				})
			}
		}
	}
	all.Wait()
}

// checkHides gives a program some time, since it may wait for a server, and looks at all it says.
func checkHides(t *testing.T, running *processtest.Process, what string) {
	stop := time.AfterFunc(6*time.Second, func() { _ = running.Cmd.Process.Kill() })
	defer stop.Stop()
	running.Wait()
	said := running.Said() + running.Out.String()
	for _, part := range []string{password, password[:8], password[8:]} {
		if strings.Contains(said, part) {
			t.Errorf("%s shows it:\n%s", what, said)
			return
		}
	}
}
