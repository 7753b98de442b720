package local_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/stream"
)

const accountRows = 60

// The programs in accounts as a hosted service gives them, with limits that a real server keeps.
func TestTheProgramsInAHostedAccount(t *testing.T) {
	t.Parallel()
	built := build(t, "")
	with := func(t *testing.T) *programs {
		t.Parallel()
		return &programs{t: t, dir: built.dir, env: append(slices.Clone(built.env), "MONGODB_URI=sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))}
	}
	t.Run("the whole pipeline", func(t *testing.T) { wholePipeline(t, with(t)) })
	t.Run("each limit", func(t *testing.T) { eachLimit(t, with(t)) })
	t.Run("no connection left", func(t *testing.T) { noConnectionLeft(t, with(t)) })
}

func wholePipeline(t *testing.T, p *programs) {
	server, team := natsdtest.StartTeam(t, natsdtest.FreeTier())
	ollama, url := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Instant: true}, badRows())
	secrets := p.use(server, team.Creds(natsdtest.Limits{UserName: "team"}))
	p.run("producer", "load", "--run", "free", "--input", accountDataset(t), "--field", "question", "--simulate", "--model", "sim", "--num-predict", "2048")
	all := []*processtest.Process{
		p.start("sink", "serve", "--flush-every", "100ms"),
		p.start("consumer", "--run", "free", "--ollama", url, "--slots", "8"),
		p.start("consumer", "--run", "free", "--ollama", url, "--slots", "8"),
	}
	publish := p.start("producer", "publish", "--run", "free", "--follow", "--lease", "5s")
	if code := publish.Wait(); code != 3 {
		t.Fatalf("producer publish ended with %d, want 3 because of the dead letters:\n%s", code, publish.Said())
	}
	var status struct{ Stored, Generations int }
	if err := json.Unmarshal(p.run("producer", "status", "--run", "free", "--json"), &status); err != nil || status.Stored != accountRows*4/5 {
		t.Errorf("the status is %+v, %v", status, err)
	}
	p.run("producer", "audit", "--run", "free")
	p.run("producer", "dead", "list", "--run", "free")
	ollama.ClearFaults()
	p.run("producer", "dead", "redrive", "--run", "free", "--yes")
	last := p.start("producer", "publish", "--run", "free", "--follow", "--lease", "5s")
	if code := last.Wait(); code != 0 {
		t.Errorf("after the redrive producer publish ended with %d:\n%s", code, last.Said())
	}
	p.run("producer", "audit", "--run", "free")
	for _, running := range all {
		if err := running.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := running.Wait(); code != 0 {
			t.Errorf("%s ended with %d:\n%s", running.Cmd.Args, code, running.Said())
		}
	}
	for _, running := range append(all, publish, last) {
		secrets(running)
	}
}

// use gives the programs this server and these credentials, as content. It returns a check that the
// output of a process contains nothing of them.
func (p *programs) use(server *natsdtest.Server, creds string) (check func(*processtest.Process)) {
	p.env = append(p.env, "NATS_URL="+server.URL(), "NATS_CREDS="+creds)
	secrets := regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+|SU[A-Z2-7]{56}`).FindAllString(creds, -1)
	if len(secrets) != 2 {
		p.t.Fatalf("%d secrets in the credentials", len(secrets))
	}
	return func(running *processtest.Process) {
		p.t.Helper()
		for _, secret := range secrets {
			if said := running.Said() + running.Out.String() + strings.Join(running.Cmd.Args, " "); strings.Contains(said, secret) {
				p.t.Errorf("%s shows a secret:\n%s", running.Cmd.Args[0], said)
			}
		}
	}
}

func accountDataset(t *testing.T) string {
	t.Helper()
	return writeRows(t, accountRows, func(i int) string { return goodOrBad(i, i%5 == 0) })
}

// eachLimit ends the program, which says in numbers what is wrong and what to do.
func eachLimit(t *testing.T, p *programs) {
	const MiB = 1 << 20
	_, url := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Instant: true})
	big := writeRows(t, 1, func(int) string { return fmt.Sprintf(`{"question": %q}`, noise(64<<10)) })
	sink, publish, consumer := []string{"sink", "serve"}, []string{"producer", "publish", "--run", "r"}, []string{"consumer", "--run", "r", "--ollama", url}

	for name, c := range map[string]struct {
		limits natsdtest.Limits
		run    []string // where it publishes run s, run r is published already
		says   []string
	}{
		"storage too small": {natsdtest.Limits{MaxStore: 8 * MiB, MaxBytesRequired: true}, publish, []string{"allows 8.0 MiB of storage", "at least 16 MiB"}},
		"more than the account has": {natsdtest.Limits{MaxStore: 100 * MiB, MaxBytesRequired: true}, []string{"producer", "publish", "--run", "r", "--max-bytes", "1GiB"},
			[]string{"to hold 1.0 GiB together (--max-bytes)", "allows 100 MiB", "larger account"}},
		"too many streams":    {natsdtest.Limits{MaxStreams: 2}, publish, []string{"10027", "allows 2 streams", "needs 4"}},
		"too many consumers":  {natsdtest.Limits{MaxConsumers: 1}, []string{"producer", "publish", "--run", "s"}, []string{"10026", "1 JetStream consumers", "delete finished runs"}},
		"expired credentials": {natsdtest.Limits{UserExpires: time.Now().Add(-time.Hour)}, consumer, []string{"the credentials expired on 20", "NATS_CREDS"}},
		"no permission to publish": {natsdtest.Limits{UserName: "u", PublishAllowed: []string{"nothing"}, SubscribeAllowed: []string{"_INBOX_u.>"}}, publish,
			[]string{"$JS.API.STREAM.INFO", "give this NATS user the permission"}},
		"no permission to hear answers": {natsdtest.Limits{UserName: "u", SubscribeAllowed: []string{"_INBOX_other.>"}}, consumer, []string{"_INBOX_u", "give this NATS user the permission"}},
	} {
		t.Run(name, func(t *testing.T) {
			server, creds := natsdtest.StartAccount(t, c.limits)
			p := &programs{t: t, dir: p.dir, env: append(slices.Clone(p.env), "MONGODB_URI=sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))}
			secrets := p.use(server, creds)
			for _, run := range []string{"r", "s"} {
				p.run("producer", "load", "--run", run, "--input", big, "--field", "question", "--simulate", "--model", "sim")
			}
			if c.run[len(c.run)-1] == "s" {
				p.run("producer", "publish", "--run", "r")
			}
			running := p.start(c.run[0], c.run[1:]...)
			code := running.Wait()
			t.Log(running.Said())
			if code != 1 {
				t.Errorf("it ended with %d, want 1", code)
			}
			for _, part := range c.says {
				if !strings.Contains(running.Said(), part) {
					t.Errorf("it does not say %q", part)
				}
			}
			secrets(running)
		})
	}
	t.Run("no JetStream", func(t *testing.T) {
		server := natsdtest.Start(t, natsd.Config{Adjust: natsdtest.WithoutJetStream})
		p := &programs{t: t, dir: p.dir, env: append(slices.Clone(p.env), "NATS_URL="+server.URL(), "MONGODB_URI=sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))}
		p.run("producer", "load", "--run", "r", "--input", big, "--field", "question", "--simulate", "--model", "sim")
		for _, run := range [][]string{sink, publish} {
			running := p.start(run[0], run[1:]...)
			if code := running.Wait(); code != 1 || !strings.Contains(running.Said(), "start it with -js") {
				t.Errorf("%s ended with %d:\n%s", run, code, running.Said())
			}
		}
	})
}

// noise returns text that hardly compresses.
func noise(n int) string {
	var b strings.Builder
	for x := uint64(88172645463325252); b.Len() < n; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%x", x)
	}
	return b.String()[:n]
}

// A program that comes last waits for a connection; a command for people soon reports that there is
// none.
func noConnectionLeft(t *testing.T, p *programs) {
	server, team := natsdtest.StartTeam(t, natsdtest.Limits{MaxConnections: 1})
	first, err := stream.Connect(t.Context(), stream.Config{URL: server.URL(), Creds: team.Creds(natsdtest.Limits{}), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	secrets := p.use(server, team.Creds(natsdtest.Limits{}))
	p.run("producer", "load", "--run", "r", "--input", accountDataset(t), "--field", "question", "--simulate", "--model", "sim")
	sink := p.start("sink", "serve")
	sink.WaitFor("all connections of the NATS account are in use, or those of the server (max_connections); waiting for one to be free")
	dead := p.start("producer", "dead", "list")
	if code := dead.Wait(); code != 1 || !strings.Contains(dead.Said(), "maximum account active connections exceeded: end another program of this account") {
		t.Errorf("dead list ended with %d:\n%s", code, dead.Said())
	}
	first.Close()
	sink.WaitFor("writing results to the store; stop with Ctrl-C")
	t.Log(sink.Said())
	if n := strings.Count(sink.Said(), "all connections of"); n != 1 {
		t.Errorf("it said %d times that it waits", n)
	}
	_ = sink.Cmd.Process.Signal(syscall.SIGTERM)
	if code := sink.Wait(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	secrets(sink)
	secrets(dead)
}
