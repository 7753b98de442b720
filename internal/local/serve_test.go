package local_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

const servedRows = 80

// The operator's side of two runs is one process. Killed without warning it goes on where it was,
// two of them do no harm, and a run that is loaded later is picked up.
func TestServeIsTheOperatorsSideOfAllRuns(t *testing.T) {
	p := build(t, "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))
	permissions := permitted(t)
	nats := natsdtest.Start(t, natsd.Config{Adjust: func(o *server.Options) { o.Users, o.Accounts = permissions.Users, permissions.Accounts }})
	p.env = append(p.env, "NATS_URL="+strings.Replace(nats.URL(), "nats://", "nats://operator:secret@", 1))
	work := []string{"--nats-url", strings.Replace(nats.URL(), "nats://", "nats://consumer:secret@", 1), "--slots", "2"}
	question := func(i int) string { return goodOrBad(i, false) }
	load := func(run string) {
		p.run("gleaner", "load", "--run", run, "--input", writeRows(t, servedRows, question), "--field", "question", "--model", "sim")
	}
	serve := func() *processtest.Process {
		s := p.start("gleaner", "serve", "--flush-every", "50ms", "--lease", "3s", "--sink-lease", "3s", "--http", "127.0.0.1:0")
		s.WaitFor("first: followed from now on")
		return s
	}
	load("first")
	killed := serve()
	_, ollama := disguisetest.Start(t, ollamasim.Config{Models: []string{"sim"}, TokensPerSecond: func(int) float64 { return 2000 }})
	consumers := []*processtest.Process{p.start("gleaner", append([]string{"work", "--run", "first", "--ollama", ollama}, work...)...)}
	load("second")
	killed.WaitFor("second: followed from now on")
	consumers = append(consumers, p.start("gleaner", append([]string{"work", "--run", "second", "--ollama", ollama}, work...)...))

	kept, err := store.Open(t.Context(), p.uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	before := map[string]string{}
	eventually(t, func() bool {
		before = answersOf(t, kept, "first")
		return len(before) >= 10 && len(answersOf(t, kept, "second")) > 0
	}, func() string { return "nothing is stored:\n" + killed.Said() })
	if err := killed.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed.Wait()

	both := []*processtest.Process{serve(), serve()}
	for _, c := range consumers {
		if code := c.Wait(); code != 0 {
			t.Errorf("%s ended with %d:\n%s", c.Cmd.Args, code, c.Said())
		}
	}
	for _, run := range []string{"first", "second"} {
		answers := answersOf(t, kept, run)
		if len(answers) != servedRows {
			t.Errorf("run %s has %d answers", run, len(answers))
		}
		var account struct{ Total, Stored, Dead, Lost, Outstanding, Leftover int }
		eventually(t, func() bool {
			if err := json.Unmarshal(p.run("gleaner", "audit", "--run", run, "--json"), &account); err != nil {
				t.Fatal(err)
			}
			return account.Stored == servedRows && account.Leftover == 0
		}, func() string { return fmt.Sprintf("the audit of %s says %+v", run, account) })
	}
	after := answersOf(t, kept, "first")
	maps.DeleteFunc(after, func(id, _ string) bool { return before[id] == "" })
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("answers that were stored before the kill (-then +now):\n%s", diff)
	}
	printed := ""
	for _, s := range both { // the other may not have seen yet that a run is complete
		s.Stops()
		printed += s.Out.String()
	}
	for _, want := range []string{"run first: complete; 80 of 80", "--run first --out first.jsonl`", "run second: complete; 80 of 80"} {
		if !strings.Contains(printed, want) {
			t.Errorf("they did not print %q but:\n%s%s%s", want, printed, both[0].Said(), both[1].Said())
		}
	}
}

// answersOf returns the answers of a run by the generation's id.
func answersOf(t *testing.T, kept store.Store, run string) map[string]string {
	t.Helper()
	answers := map[string]string{}
	for answer, err := range kept.Answers(t.Context(), run) {
		if err != nil {
			t.Fatal(err)
		}
		if r := answer.Result; r != nil {
			answers[pipeline.GenerationID(run, answer.Item, answer.Sample)] = r.CreatedAt.Format(time.RFC3339Nano) + " " + r.Text
		}
	}
	return answers
}
