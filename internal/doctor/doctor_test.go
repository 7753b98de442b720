package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestChecksRunSideBySideAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		after := func(d time.Duration) func(context.Context) []Finding {
			return func(ctx context.Context) []Finding {
				select {
				case <-time.After(d):
					return fine("after %s", d)
				case <-ctx.Done():
					return bad("cut", "wait")
				}
			}
		}
		var said [][]string
		began := time.Now()
		found := Run(t.Context(), []Question{
			{"slow", after(2 * time.Second)}, {"quick", after(time.Second)}, {"late", after(time.Hour)},
			{"deaf", func(context.Context) []Finding { time.Sleep(20 * time.Second); return nil }},
		}, 5*time.Second, func(open []string) { said = append(said, open) })
		want := []Finding{
			{"slow", OK, "after 2s", ""}, {"quick", OK, "after 1s", ""}, {"late", Wrong, "cut", "wait"},
			{"deaf", Wrong, "no answer within 5s", "look whether it hangs, and whether a firewall drops what is sent there"},
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("it took %s", took)
		}
		if diff := cmp.Diff([][]string{{"slow", "late", "deaf"}, {"late", "deaf"}, {"deaf"}, nil}, said); diff != "" {
			t.Errorf("what is waited for (-want +got):\n%s", diff)
		}
		time.Sleep(20 * time.Second) // the deaf one ends
	})
}

// judged is a case: what was found, its states in order, and a part of what is said or advised.
type judged struct {
	found  []Finding
	states string
	says   string
}

func check(t *testing.T, cases map[string]judged) {
	t.Helper()
	for name, c := range cases {
		var states, words []string
		for _, f := range c.found {
			states, words = append(states, string(f.State)), append(words, f.Says, f.Advice)
			if (f.Advice == "") != (f.State == OK) {
				t.Errorf("%s: %+v: what is not ok has advice, and nothing else", name, f)
			}
		}
		if got := strings.Join(states, " "); got != c.states || !strings.Contains(strings.Join(words, "\n"), c.says) {
			t.Errorf("%s: %q, want %q and %q in:\n%s", name, got, c.states, c.says, strings.Join(words, "\n"))
		}
		if Failed(c.found) != strings.Contains(c.states, string(Wrong)) {
			t.Errorf("%s: it is wrong: %v", name, Failed(c.found))
		}
	}
}

func TestAQueueIsJudged(t *testing.T) {
	q := Broker{Where: "nats://h", Version: "2.15.2"}
	with := func(change func(*Broker)) Broker { changed := q; change(&changed); return changed }
	check(t, map[string]judged{
		"all":          {NATS(q, nil), "ok ok", "producer, consumer and sink"},
		"away":         {NATS(q, errors.New("refused")), "wrong", "--nats-url"},
		"no JetStream": {NATS(with(func(q *Broker) { q.JetStream = errors.New("not enabled") }), nil), "ok wrong", "-js"},
		"room":         {NATS(with(func(q *Broker) { q.MaxStore, q.Reserved = 1<<30, 1<<20 }), nil), "ok ok ok", "1.0 GiB, of which 1 MiB"},
		"no room":      {NATS(with(func(q *Broker) { q.MaxStore, q.Reserved = 1<<30, 1<<30 }), nil), "ok wrong ok", "16 MiB"},
		"one role":     {NATS(with(func(q *Broker) { q.Refused = map[string][]string{"producer": {"a"}, "sink": {"b"}} }), nil), "ok ok", "what the consumer does, and no more"},
		"no role": {NATS(with(func(q *Broker) {
			q.Refused = map[string][]string{"producer": {"a", "b"}, "sink": {"c", "d"}, "consumer": {"publish gleaner.result.x"}}
		}), nil), "ok wrong", "of the consumer it may not publish gleaner.result.x"},
	})
}

// A keeper fails with what it is made of.
type keeper struct {
	ping, write, read, silent error
	about                     pipeline.StoreAbout
}

func (k keeper) Ping(context.Context) error                         { return k.ping }
func (k keeper) MayWrite(context.Context) error                     { return k.write }
func (k keeper) About(context.Context) (pipeline.StoreAbout, error) { return k.about, k.silent }
func (k keeper) Identity(context.Context) (pipeline.StoreIdentity, error) {
	return pipeline.StoreIdentity{Name: "mongodb://h/gleaner"}, k.read
}

func TestAStoreIsJudged(t *testing.T) {
	no := errors.New("not authorized")
	check(t, map[string]judged{
		"all":       {Store(t.Context(), keeper{}, nil), "ok ok", "mongodb://h/gleaner answers"},
		"room":      {Store(t.Context(), keeper{about: pipeline.StoreAbout{Server: "SQLite 3.50", Bytes: 3 << 20, HasFree: true, Free: 5 << 30}}, nil), "ok ok", "SQLite 3.50, which holds 3 MiB; 5.0 GiB is free"},
		"no room":   {Store(t.Context(), keeper{about: pipeline.StoreAbout{HasFree: true, Free: 5 << 20}}, nil), "ok warning", "make room there"},
		"silent":    {Store(t.Context(), keeper{silent: no}, nil), "ok warning", "does not say"},
		"none yet":  {Store(t.Context(), nil, fmt.Errorf("%w at x", pipeline.ErrNoStore)), "warning", "--store"},
		"away":      {Store(t.Context(), nil, no), "wrong", "MONGODB_URI"},
		"gone":      {Store(t.Context(), keeper{ping: no}, nil), "wrong", "whether it runs"},
		"unread":    {Store(t.Context(), keeper{read: no}, nil), "wrong", "right to read"},
		"read-only": {Store(t.Context(), keeper{write: no}, nil), "wrong", "right to write"},
	})
}

// A server answers with what it is made of.
type server struct {
	info                          pipeline.ModelInfo
	identify, describe, generates error
}

func (s server) Identify(context.Context) (pipeline.ModelInfo, error) { return s.info, s.identify }
func (s server) Describe(context.Context, string) (pipeline.ModelInfo, error) {
	return s.info, s.describe
}
func (s server) Generate(context.Context, pipeline.Request) (pipeline.Completion, error) {
	return pipeline.Completion{}, s.generates
}

func TestAModelServerIsJudged(t *testing.T) {
	no, info := errors.New("no such model"), pipeline.ModelInfo{Name: "m", ServerVersion: "0.17.4", Digest: strings.Repeat("ab", 32), Context: 4096}
	half := info
	half.SizeBytes, half.OnGPUBytes = 100, 40
	judge := func(s server, model string, slots int) []Finding {
		return Server(t.Context(), s, "http://h", model, slots)
	}
	check(t, map[string]judged{
		"all":           {judge(server{info: info}, "m", 4), "ok ok ok", "context 4,096 tokens"},
		"the default":   {judge(server{info: info}, "", 0), "ok ok", "Ollama's default is 1 slot"},
		"one token":     {judge(server{info: info, generates: pipeline.Fail(pipeline.Truncated, "cut")}, "m", 4), "ok ok ok", "digest abab"},
		"away":          {judge(server{identify: no}, "m", 4), "wrong", "ollama serve"},
		"simulated":     {judge(server{info: pipeline.ModelInfo{Simulated: true}}, "", 4), "warning ok", "mean nothing"},
		"old":           {judge(server{info: pipeline.ModelInfo{Note: "too old"}}, "", 4), "warning ok", "update Ollama"},
		"no model":      {judge(server{info: info, describe: no}, "m", 4), "ok wrong", "ollama pull m"},
		"no answer":     {judge(server{info: info, generates: errors.New("500")}, "m", 4), "ok wrong", "server's log"},
		"slow":          {judge(server{info: info, generates: context.DeadlineExceeded}, "m", 4), "ok warning", "until it is loaded"},
		"half on a GPU": {judge(server{info: half}, "m", 4), "ok warning ok", "40 % of it"},
	})
}

func TestThisMachineIsJudged(t *testing.T) {
	no := errors.New("no nvidia-smi")
	check(t, map[string]judged{
		"room":                {Disk("d", 5<<30, nil), "ok", "5.0 GiB is free for d"},
		"little room":         {Disk("d", 500<<20, nil), "warning", "make room"},
		"no room":             {Disk("d", 50<<20, nil), "wrong", "--data"},
		"no disk":             {Disk("d", 0, no), "wrong", "another folder"},
		"a run goes on":       {Folder("d", true, 47, nil), "ok", "a run goes on in d, in process 47: `"},
		"a command works":     {Folder("d", true, 0, nil), "ok", "a command works in d"},
		"no run":              {Folder("d", false, 0, fine("store")), "ok ok", "no run goes on"},
		"one clock":           {Clock(map[string]time.Duration{"a": 400 * time.Millisecond}), "ok", "1s at most"},
		"a late clock":        {Clock(map[string]time.Duration{"a": -5 * time.Minute, "b": 0}), "warning", "of a is 5m0s behind"},
		"no clock":            {Clock(nil), "", ""},
		"no proxy":            {Proxies(map[string]string{"HOME": "x"}), "", ""},
		"a proxy":             {Proxies(map[string]string{"http_proxy": "http://user:secret@p"}), "warning", "HTTP_PROXY is set, and"},
		"a proxy for others":  {Proxies(map[string]string{"HTTPS_PROXY": "http://p", "NO_PROXY": "localhost,127.0.0.1"}), "ok", "not for this machine"},
		"a free port":         {Port(4222, "gleaner nats", false, false), "", ""},
		"a port of ours":      {Port(4222, "gleaner nats", true, true), "", ""},
		"a port of another":   {Port(4222, "gleaner nats", true, false), "warning", "port 4222, on which gleaner nats"},
		"a GPU":               {GPUs([]Accelerator{{"GPU 0 T4", 15360, 512, []string{"ollama (1)"}}}, nil), "ok", "0.5 of 15.0 GiB in use by ollama (1)"},
		"a full GPU":          {GPUs([]Accelerator{{"GPU 0 T4", 15360, 14000, []string{"python (1)"}}}, nil), "warning", "another notebook"},
		"a GPU full of ours":  {GPUs([]Accelerator{{"GPU 0 T4", 15360, 14000, []string{"ollama (1)"}}}, nil), "ok", ""},
		"no GPU where wanted": {GPUs(nil, no), "wrong", "driver"},
	})
	for _, f := range Proxies(map[string]string{"http_proxy": "http://user:secret@p"}) {
		if strings.Contains(f.Says+f.Advice, "secret") {
			t.Errorf("a secret is shown: %+v", f)
		}
	}
}
