package local_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/needtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// The last commits whose programs know less than these: the first reads and writes version 1 of the
// work message only, the second no message with verdicts and version 1 of the tables in SQLite, the
// third no tokens, the fourth no Jinja, no thinking and one spelling of rows only, the fifth no
// pause in the store, and batches of eight in a run of its own.
const (
	beforeMessages = "fb14661777373b3b6a0d42465f56da23afa9889f"
	beforeVerdicts = "c5958423408e7d187dc35c7a327c6aebc4f7933c"
	beforeTokens   = "90639dac850c6d32341fe9bcc135d7bfba64d239"
	beforeJinja    = "c0a85bc188c482420e6067549ded37779b5c697a"
	beforeStates   = "24ce133cb917c7d75dd0f3b558fd3240c3d2ecdd"
)

// What an earlier version began is finished by this one, and what this one writes does no harm to
// an earlier version.
func TestAnEarlierVersionAndThisOneWorkOnTheSameRuns(t *testing.T) {
	present := build(t, "").dir
	const finish = "a store, a queue and a run that the earlier one began are opened and finished"
	for commit, tests := range map[string]map[string]func(e *versions){
		beforeMessages: {
			finish: finishAnEarlierRun,
			"a load that the earlier one began goes on with the same cuts":             goOnWithAnEarlierLoad,
			"what the earlier one cannot read it hands back, and stores nothing false": handBackToThePresent,
		},
		beforeVerdicts: {
			finish: finishAnEarlierRun,
			"a load that the earlier one began goes on with the same cuts": goOnWithAnEarlierLoad,
			"a batch with verdicts is left to a consumer that knows them":  leaveVerdictsToThePresent,
		},
		beforeTokens: {
			finish: finishAnEarlierRun,
			"a load that the earlier one began goes on with the same cuts": goOnWithAnEarlierLoad,
			"an earlier consumer is named, and what it sends is refused":   refuseTheEarlier,
		},
		beforeJinja: {
			finish: finishAnEarlierRun,
			"a load that the earlier one began goes on with the same cuts": goOnWithAnEarlierLoad,
			"the same command goes on with a run of its own":               goOnWithALocalRun,
		},
		beforeStates: {
			finish: finishAnEarlierRun,
			"gleaner serve leaves a run paused that the earlier one paused, and finishes it": serveAnEarlierRun,
			"the same command goes on with a run of its own that was killed":                 goOnWithAKilledRun,
		},
	} {
		t.Run(commit[:7], func(t *testing.T) {
			t.Parallel()
			earlier := buildEarlier(t, commit)
			for name, test := range tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(newVersions(t, earlier, present))
				})
			}
		})
	}
}

// buildEarlier builds the programs of an earlier commit and returns their folder. Without the
// commit the test is skipped, or fails where CI is set.
func buildEarlier(t *testing.T, commit string) string {
	t.Helper()
	git := needtest.Tool(t, "git")
	top, err := exec.CommandContext(t.Context(), git, "rev-parse", "--show-toplevel").Output()
	root := strings.TrimSpace(string(top))
	there := func() error {
		return exec.CommandContext(t.Context(), git, "-C", root, "cat-file", "-e", commit+"^{commit}").Run()
	}
	if err == nil {
		err = there()
	}
	if err != nil { // a shallow clone can get this one commit from where it came from
		_ = exec.CommandContext(t.Context(), git, "-C", root, "fetch", "--quiet", "--depth", "1", "origin", commit).Run()
		err = there()
	}
	if err != nil {
		needtest.Skip(t, "commit %s is not in the history: clone with the whole history", commit)
	}
	source, bin := t.TempDir(), t.TempDir()
	command := func(dir, name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		// Neither the index of this repository nor a workspace around it is touched or read.
		cmd.Env = append(os.Environ(), "GIT_INDEX_FILE="+filepath.Join(bin, ".index"), "CGO_ENABLED=0", "GOWORK=off")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, said)
		}
	}
	separator := string(filepath.Separator)
	command(root, git, "read-tree", commit)
	command(root, git, "checkout-index", "--all", "--prefix="+source+separator)
	packages := []string{"./producer", "./consumer", "./sink"}
	if _, err := os.Stat(filepath.Join(source, "deploy", "gleaner")); err == nil {
		packages = append(packages, "./deploy/gleaner")
	}
	command(source, "go", append([]string{"build", "-trimpath", "-buildvcs=false", "-o", bin + separator}, packages...)...)
	return bin
}

// versions are the programs of both versions, with a store and a NATS server that they share.
type versions struct {
	t                *testing.T
	earlier, present *programs
	store            store.Store
	conn             *stream.Conn
	run              string
	seed             int // of the run's spec
}

func newVersions(t *testing.T, earlier, present string) *versions {
	t.Helper()
	server := natsdtest.Start(t, natsd.Config{Port: -1})
	uri := "sqlite:" + filepath.Join(t.TempDir(), "gleaner.db")
	env := append(os.Environ(), "MONGODB_URI="+uri, "NATS_URL="+server.URL())
	v := &versions{
		t: t, run: "words", seed: 5,
		earlier: &programs{t: t, dir: earlier, uri: uri, env: env},
		present: &programs{t: t, dir: present, uri: uri, env: env},
	}
	var err error
	v.conn, err = stream.Connect(t.Context(), stream.Config{URL: server.URL(), Name: "test"})
	v.must(err)
	t.Cleanup(v.conn.Close)
	return v
}

func (v *versions) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// open opens the store, as this version does it. Earlier programs do not open it after that.
func (v *versions) open(uri string) store.Store {
	v.t.Helper()
	opened, err := store.Open(v.t.Context(), uri)
	v.must(err)
	v.t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// status returns what an earlier version says about the run: this one would bring the store up to
// date, and then it is closed to earlier programs.
func (v *versions) status() (progress struct{ Stored, Failed int }) {
	v.t.Helper()
	v.must(json.Unmarshal(v.earlier.run("producer", "status", "--run", v.run, "--json"), &progress))
	return progress
}

// peek opens a copy of the store, which other programs may be writing to, and calls look with it.
func (v *versions) peek(look func(store.Store) error) error {
	v.t.Helper()
	path := filepath.Join(v.t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(strings.TrimPrefix(v.earlier.uri, "sqlite:") + suffix)
		if err == nil {
			err = os.WriteFile(path+suffix, data, 0o600)
		}
		if err != nil && suffix == "" {
			return err
		}
	}
	opened, err := store.Open(v.t.Context(), "sqlite:"+path)
	if err != nil {
		return err
	}
	defer opened.Close()
	return look(opened)
}

// systemPrompt has characters that JSON may write in two ways.
const systemPrompt = "Be brief, and say <why>."

// load returns the arguments of producer load for a file.
func (v *versions) load(input string, args ...string) []string {
	return append([]string{"load", "--run", v.run, "--input", input, "--field", "q", "--model", "sim", "--num-predict", "50",
		"--seed", fmt.Sprint(v.seed), "--system", systemPrompt}, args...)
}

// publish lets a version publish and follow the run to its end.
func (v *versions) publish(p *programs, code int) {
	v.t.Helper()
	p.start("producer", "publish", "--run", v.run, "--follow", "--lease", "2s").Ends(code)
}

// A recorder is a simulated Ollama that records what it is asked.
type recorder struct {
	url string

	mu    sync.Mutex
	seeds map[string]map[int]bool // of all requests, by the contents of their messages
}

// record starts a simulated Ollama that looks like a real one, since earlier programs know no
// other. Answers to prompts with the word "long" have 300 tokens.
func (v *versions) record(cfg ollamasim.Config) *recorder {
	v.t.Helper()
	r := &recorder{seeds: map[string]map[int]bool{}}
	cfg.Models = []string{"sim"}
	cfg.Lengths = func(prompt string, seed int) int {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.seeds[prompt] == nil {
			r.seeds[prompt] = map[int]bool{}
		}
		r.seeds[prompt][seed] = true
		if strings.Contains(prompt, "A long") {
			return 300
		}
		return 10
	}
	_, r.url = disguisetest.Start(v.t, cfg)
	return r
}

func (r *recorder) asked() map[string]map[int]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.seeds)
}

// checkRequests fails unless the models were asked these prompts, each after the system prompt and
// with the seeds that follow from the run's, and nothing else.
func (v *versions) checkRequests(prompts []string, samples int, recorders ...*recorder) {
	v.t.Helper()
	want := map[string]map[int]bool{}
	for item, prompt := range prompts {
		conversation := systemPrompt + "\n" + prompt
		want[conversation] = map[int]bool{}
		for sample := range samples {
			want[conversation][pipeline.Seed(v.seed, pipeline.GenerationID(v.run, item, sample))] = true
		}
	}
	got := map[string]map[int]bool{}
	for _, r := range recorders {
		for conversation, seeds := range r.asked() {
			if got[conversation] == nil {
				got[conversation] = map[int]bool{}
			}
			maps.Copy(got[conversation], seeds)
		}
	}
	delete(got, pipeline.CanaryPrompt) // with which a consumer tries out a server that was slow
	if diff := cmp.Diff(want, got); diff != "" {
		v.t.Errorf("conversations and their seeds (-want +got):\n%.2000s", diff)
	}
}

// checkAnswers fails unless each generation has one answer, the audit balances, nothing is left on
// the streams and the export has all rows in order. With sameLength, all conversations have to have
// the same number of tokens.
func (v *versions) checkAnswers(prompts []string, samples int, sameLength bool) {
	v.t.Helper()
	next, tokens := 0, 0
	for answer, err := range v.store.Answers(v.t.Context(), v.run) {
		v.must(err)
		r := answer.Result
		if answer.Item*samples+answer.Sample != next || r == nil || r.Text == "" || r.Finish != pipeline.FinishStop {
			v.t.Fatalf("where generation %d should be is item %d, sample %d: %+v", next, answer.Item, answer.Sample, r)
		}
		if next == 0 {
			tokens = r.PromptTokens
		}
		if sameLength && r.PromptTokens != tokens {
			v.t.Errorf("item %d was asked with %d tokens, item 0 with %d", answer.Item, r.PromptTokens, tokens)
		}
		next++
	}
	if want := len(prompts) * samples; next != want {
		v.t.Errorf("%d generations, want %d", next, want)
	}
	var account struct{ Total, Stored, Dead, Lost, Outstanding, Leftover int }
	eventually(v.t, func() bool { // what was delivered twice is taken off the streams last
		v.must(json.Unmarshal(v.present.run("producer", "audit", "--run", v.run, "--json"), &account))
		depth, err := v.conn.Depth(v.t.Context(), v.run)
		v.must(err)
		return account.Stored == account.Total && account.Total == next && account.Dead+account.Lost+account.Outstanding+account.Leftover == 0 &&
			depth == pipeline.StreamDepth{}
	}, func() string { return fmt.Sprintf("the audit says %+v", account) })
	v.checkExport(prompts, samples)
}

func (v *versions) checkExport(prompts []string, samples int) {
	v.t.Helper()
	lines := json.NewDecoder(bytes.NewReader(v.present.run("sink", "export", "--run", v.run, "--out", "-")))
	n := 0
	for ; lines.More(); n++ {
		var row struct{ Q, Response string }
		v.must(lines.Decode(&row))
		if n >= len(prompts)*samples || row.Q != prompts[n/samples] || row.Response == "" {
			v.t.Fatalf("line %d of the export is %.200v", n, row)
		}
	}
	if n != len(prompts)*samples {
		v.t.Errorf("the export has %d lines, want %d", n, len(prompts)*samples)
	}
}

// writePrompts writes a dataset with these prompts and returns its path.
func (v *versions) writePrompts(prompts []string) string {
	v.t.Helper()
	path := filepath.Join(v.t.TempDir(), "rows.jsonl")
	v.must(os.WriteFile(path, encodePrompts(prompts), 0o644))
	return path
}

func encodePrompts(prompts []string) []byte {
	var rows bytes.Buffer
	for _, prompt := range prompts {
		fmt.Fprintf(&rows, "{\"q\": %q}\n", prompt)
	}
	return rows.Bytes()
}

// ---- A run that was begun.

const (
	begunRows    = 600
	begunSamples = 2 // so that there are batches of two generations
	longEvery    = 10
)

// The earlier version leaves batches on WORK, some of them held by a consumer that was killed,
// results that no sink has taken, and dead letters, some of which the store does not know yet.
func finishAnEarlierRun(v *versions) {
	prompts := make([]string, begunRows)
	for i := range prompts {
		prompts[i] = fmt.Sprintf("A %s question, number %04d?", []string{"long", "good"}[min(i%longEvery, 1)], i)
	}
	v.earlier.run("producer", v.load(v.writePrompts(prompts), "--samples", fmt.Sprint(begunSamples))...)
	before := v.record(ollamasim.Config{TokensPerSecond: func(int) float64 { return 200 }})
	v.begin(before)
	letters := deadGenerations(v.earlier.run("producer", "dead", "list", "--run", v.run, "--json"))
	if diff := cmp.Diff(letters, deadGenerations(v.present.run("producer", "dead", "list", "--run", v.run, "--each", "--json"))); diff != "" || len(letters) == 0 {
		v.t.Errorf("the dead letters that each version lists (-earlier +present):\n%s", diff)
	}
	v.store = v.open(v.earlier.uri)
	shown := string(v.present.run("producer", "dead", "show", "--run", v.run))
	for _, item := range letters {
		if !strings.Contains(shown, prompts[item]) {
			v.t.Errorf("%q is not shown among the dead letters", prompts[item])
		}
	}

	after := v.record(ollamasim.Config{Instant: true})
	sink := v.present.start("sink", "serve", "--flush-every", "100ms")
	consumer := v.present.start("consumer", "--run", v.run, "--ollama", after.url, "--stay")
	v.publish(v.present, 3)
	const dead = begunRows / longEvery * begunSamples
	if all := deadGenerations(v.present.run("producer", "dead", "list", "--run", v.run, "--each", "--json")); len(all) != dead {
		v.t.Errorf("%d dead generations, want %d", len(all), dead)
	}
	v.present.run("producer", "dead", "redrive", "--run", v.run, "--num-predict", "400")
	v.publish(v.present, 0)
	if all := deadGenerations(v.present.run("producer", "dead", "list", "--run", v.run, "--each", "--json")); len(all) != 0 {
		v.t.Errorf("%d dead generations are left after the redrive", len(all))
	}
	v.checkAnswers(prompts, begunSamples, true)
	v.checkRequests(prompts, begunSamples, before, after)
	consumer.Stops()
	sink.Stops()
}

// goOnWithALocalRun gives the command that made a run to both versions. What an earlier one made is
// found again, although its name came from another digest of the rows, and its prompt is a template
// of Go.
func goOnWithALocalRun(v *versions) {
	dir := v.t.TempDir()
	input := filepath.Join(dir, "rows.jsonl")
	v.must(os.WriteFile(input, []byte("{\"q\": \"1+1?\",  \"n\": 1}\n{\"q\": \"2+2?\", \"n\": 2}\n{\"n\":3,\"q\":\"3+3?\"}\n"), 0o600))
	for name, prompt := range map[string][]string{"a column": {"--field", "q"}, "a template of Go": {"--prompt", "{{.n}}: {{.q}}"}} {
		made := func(p *programs, limit ...string) (s struct {
			Run, Out          string
			Stored, Generated int
		}) {
			args := append([]string{"run", "--simulate", "--input", input, "--data", filepath.Join(dir, name), "--json"}, prompt...)
			v.must(json.Unmarshal(p.run("gleaner", append(args, limit...)...), &s))
			return s
		}
		before := made(v.earlier)
		after := made(v.present)
		if before.Run != after.Run || before.Generated != 3 || after.Generated != 0 || after.Stored != 3 {
			v.t.Errorf("%s: made was %+v, and then %+v", name, before, after)
		}
	}
}

// begin lets the earlier version publish the run and answer some of it.
func (v *versions) begin(ollama *recorder) {
	v.t.Helper()
	v.earlier.run("producer", "publish", "--run", v.run, "--lease", "2s") // who makes the streams says how long a consumer that died counts as present
	sink := v.earlier.start("sink", "serve", "--flush-every", "50ms")
	consumer := v.earlier.start("consumer", "--run", v.run, "--ollama", ollama.url, "--slots", "4", "--stay")
	eventually(v.t, func() bool {
		progress := v.status()
		return progress.Stored >= 20 && progress.Failed >= 2
	}, func() string {
		return fmt.Sprintf("the earlier programs came to %+v:\n%s", v.status(), consumer.Said())
	})
	sink.Stops()
	known := len(v.letters())
	var depth pipeline.StreamDepth
	eventually(v.t, func() bool {
		var err error
		depth, err = v.conn.Depth(v.t.Context(), v.run)
		v.must(err)
		return depth.Results >= 4 && len(v.letters()) > known
	}, func() string { return fmt.Sprintf("the streams hold %+v and %d dead letters", depth, known) })
	v.must(consumer.Cmd.Process.Kill())
	consumer.Wait()
	depth, err := v.conn.Depth(v.t.Context(), v.run)
	v.must(err)
	if depth.Waiting == 0 || depth.Held == 0 {
		v.t.Fatalf("nothing is left for the present version: %+v", depth)
	}
	v.t.Logf("the earlier version left %+v and %d dead letters", depth, len(v.letters()))
}

func (v *versions) letters() (letters []pipeline.StoredDeadLetter) {
	v.t.Helper()
	for letter, err := range v.conn.DeadLetters(v.t.Context(), v.run) {
		v.must(err)
		letters = append(letters, letter)
	}
	return letters
}

// deadGenerations returns the items in what dead list --json prints, ascending.
func deadGenerations(printed []byte) (items []int) {
	for lines := json.NewDecoder(bytes.NewReader(printed)); lines.More(); {
		var letter struct{ Failures []struct{ Item int } }
		if err := lines.Decode(&letter); err != nil {
			return nil
		}
		for _, failure := range letter.Failures {
			items = append(items, failure.Item)
		}
	}
	slices.Sort(items)
	return items
}

// ---- A load that was interrupted.

const (
	loadedRows    = 800
	loadedSamples = 3
	// By then the load has stored a thousand batches and, because the rows are large, some items.
	loadedBeforeTheKill = 700
	storedBatches       = 1000
)

// cutPrompts returns prompts of which two nearly fill a batch: some pairs fit and some do not, by
// a few bytes.
func cutPrompts() []string {
	prompts := make([]string, loadedRows)
	for i := range prompts {
		prompts[i] = fmt.Sprintf("Question %04d?", i)
		if large := i / 6; i%6 == 0 && i < 480 {
			prompts[i] += strings.Repeat(" word", 27_000)[:pipeline.MaxBatchBytes/2-400+4*large-len(prompts[i])]
		}
	}
	return prompts
}

func goOnWithAnEarlierLoad(v *versions) {
	prompts := cutPrompts()
	input := v.writePrompts(prompts)
	args := []string{"--samples", fmt.Sprint(loadedSamples), "--batch", "4"}
	v.interruptLoad(prompts, args)
	v.store = v.open(v.earlier.uri)
	if items, batches, err := v.store.Loaded(v.t.Context(), v.run); err != nil || items >= loadedRows || batches != storedBatches {
		v.t.Errorf("the interrupted load left %d items and %d batches (%v)", items, batches, err)
	}
	v.present.run("producer", v.load(input, args...)...)

	whole := *v.earlier
	whole.uri = "sqlite:" + filepath.Join(v.t.TempDir(), "whole.db")
	whole.env = append(slices.Clone(whole.env), "MONGODB_URI="+whole.uri)
	whole.run("producer", v.load(input, args...)...)
	want := v.cuts(v.open(whole.uri))
	if diff := cmp.Diff(want, v.cuts(v.store)); diff != "" {
		v.t.Fatalf("batches (-loaded in one go +loaded by both versions):\n%s", diff)
	}
	byBytes := 0
	for _, b := range want[:storedBatches] {
		if next := loadedRows*loadedSamples - b.First; b.Count < min(next/500, 4) {
			byBytes++
		}
	}
	if byBytes < 50 {
		v.t.Errorf("only %d batches were cut by their bytes", byBytes)
	}

	ollama := v.record(ollamasim.Config{Instant: true, Context: 1 << 18})
	sink := v.present.start("sink", "serve", "--flush-every", "100ms")
	consumer := v.present.start("consumer", "--run", v.run, "--ollama", ollama.url, "--stay")
	v.publish(v.present, 0)
	v.checkAnswers(prompts, loadedSamples, false)
	v.checkRequests(prompts, loadedSamples, ollama)
	consumer.Stops()
	sink.Stops()
}

// interruptLoad kills a load of the earlier version when it has stored some items and batches. It
// reads the dataset twice, each time from a pipe of its own.
func (v *versions) interruptLoad(prompts, args []string) {
	v.t.Helper()
	path := filepath.Join(v.t.TempDir(), "rows.jsonl")
	v.must(syscall.Mkfifo(path, 0o600))
	load := v.earlier.start("producer", v.load(path, args...)...)
	examined, err := os.OpenFile(path, os.O_WRONLY, 0)
	v.must(err)
	v.must(os.Remove(path)) // the next pass opens another pipe
	v.must(syscall.Mkfifo(path, 0o600))
	v.pipe(examined, prompts)
	v.must(examined.Close())
	written, err := os.OpenFile(path, os.O_WRONLY, 0)
	v.must(err)
	defer written.Close()
	v.pipe(written, prompts[:loadedBeforeTheKill])
	var items, batches int
	eventually(v.t, func() bool {
		err = v.peek(func(s store.Store) (err error) { items, batches, err = s.Loaded(v.t.Context(), v.run); return err })
		return err == nil && items > 0 && batches >= storedBatches // a copy may be of two moments
	}, func() string {
		return fmt.Sprintf("%d items and %d batches are stored (%v):\n%s", items, batches, err, load.Said())
	})
	v.must(load.Cmd.Process.Kill())
	load.Wait()
}

func (v *versions) pipe(to *os.File, prompts []string) {
	v.t.Helper()
	w := bufio.NewWriter(to)
	_, err := w.Write(encodePrompts(prompts))
	v.must(err)
	v.must(w.Flush())
}

// cuts returns the batches of the run, before any of them is published.
func (v *versions) cuts(from store.Store) []pipeline.Batch {
	v.t.Helper()
	batches, err := from.Batches(v.t.Context(), v.run, pipeline.Planned, 0, loadedRows*loadedSamples)
	v.must(err)
	return batches
}

// ---- A run that is newer.

func handBackToThePresent(v *versions) {
	const rows = 40
	prompts := make([]string, rows)
	for i := range prompts {
		prompts[i] = fmt.Sprintf("A good question, number %04d?", i)
	}
	v.present.run("producer", v.load(v.writePrompts(prompts))...)
	v.store = v.open(v.present.uri)
	ollama := v.record(ollamasim.Config{Instant: true})
	sink := v.present.start("sink", "serve", "--flush-every", "50ms")
	v.present.run("producer", "publish", "--run", v.run, "--lease", "2s")
	earlier := v.earlier.start("consumer", "--run", v.run, "--ollama", ollama.url, "--rest", "1s", "--stay")
	const unreadable = "a work message cannot be read and goes back"
	eventually(v.t, func() bool { return strings.Count(earlier.Said(), unreadable) >= rows }, func() string {
		return "the earlier consumer does not hand its messages back:\n" + earlier.Said()
	})
	earlier.Stops()
	if asked := ollama.asked(); len(asked) > 0 {
		v.t.Errorf("the earlier consumer asked for %v", asked)
	}
	for answer, err := range v.store.Answers(v.t.Context(), v.run) {
		v.must(err)
		if answer.Result != nil {
			v.t.Errorf("item %d has an answer: %+v", answer.Item, answer.Result)
		}
	}
	if letters := v.letters(); len(letters) > 0 {
		v.t.Errorf("%d dead letters", len(letters))
	}

	consumer := v.present.start("consumer", "--run", v.run, "--ollama", ollama.url, "--stay")
	v.publish(v.present, 0)
	v.checkAnswers(prompts, 1, true)
	v.checkRequests(prompts, 1, ollama)
	consumer.Stops()
	sink.Stops()
}

// ---- A message with verdicts.

// A message for a second opinion cannot be read by earlier consumers: their dead letter would lack
// the verdicts that stay. They hand it back, and this version's consumer answers it.
func leaveVerdictsToThePresent(v *versions) {
	prompts := []string{"A good question, number 0000?"}
	v.present.run("producer", v.load(v.writePrompts(prompts))...)
	v.store = v.open(v.present.uri)
	run, err := v.store.Run(v.t.Context(), v.run)
	v.must(err)
	v.must(v.conn.EnsureRun(v.t.Context(), run))
	batches := v.cuts(v.store)
	builder, err := producer.NewWorkBuilder(v.store, run)
	v.must(err)
	works, err := builder.Build(v.t.Context(), batches)
	v.must(err)
	works[0].Judged = []pipeline.LaneID{{Consumer: "gone", GPU: "T4 0"}}
	v.must(v.conn.Publish(v.t.Context(), works[0]))
	v.must(v.store.MarkQueued(v.t.Context(), v.run, []int{0}, time.Now()))

	ollama := v.record(ollamasim.Config{Instant: true})
	sink := v.present.start("sink", "serve", "--flush-every", "50ms")
	earlier := v.earlier.start("consumer", "--run", v.run, "--ollama", ollama.url, "--rest", "1s", "--stay")
	eventually(v.t, func() bool { return strings.Contains(earlier.Said(), "a work message cannot be read and goes back") }, func() string {
		return "the earlier consumer does not hand its message back:\n" + earlier.Said()
	})
	earlier.Stops()
	if asked, letters := ollama.asked(), v.letters(); len(asked)+len(letters) > 0 {
		v.t.Errorf("the earlier consumer asked for %v, %d dead letters", asked, len(letters))
	}
	consumer := v.present.start("consumer", "--run", v.run, "--ollama", ollama.url, "--stay")
	v.publish(v.present, 0)
	v.checkAnswers(prompts, 1, true)
	consumer.Stops()
	sink.Stops()
}

// ---- A token that an earlier consumer does not bring back.

// An earlier consumer is named, none of what it sends is stored, a batch gets one more round for it
// and then waits until it is gone, and this version's consumer answers everything.
func refuseTheEarlier(v *versions) {
	prompts := make([]string, 12)
	for i := range prompts {
		prompts[i] = fmt.Sprintf("A %s question, number %04d?", []string{"long", "good"}[min(i, 1)], i)
	}
	v.present.run("producer", v.load(v.writePrompts(prompts), "--batch", "1", "--num-predict", "400", "--think", "off")...) // else the earlier one hands it back
	v.store = v.open(v.present.uri)
	ollama := v.record(ollamasim.Config{Instant: true})
	sink := v.present.start("sink", "serve", "--flush-every", "50ms")
	began := time.Now()
	earlier := v.earlier.start("consumer", "--run", v.run, "--ollama", ollama.url, "--stay")
	publisher := v.present.start("producer", "publish", "--run", v.run, "--follow", "--lease", "2s")
	all := func(met func(pipeline.Batch) bool) bool {
		batches, err := v.store.Batches(v.t.Context(), v.run, pipeline.Queued, 0, len(prompts))
		v.must(err)
		return len(batches) == len(prompts) && !slices.ContainsFunc(batches, func(b pipeline.Batch) bool { return !met(b) })
	}
	const named = "too old to bring back the tokens"
	eventually(v.t, func() bool { return strings.Contains(sink.Said(), named) && strings.Contains(publisher.Said(), named) }, func() string {
		return "the earlier consumer is not named:\n" + sink.Said() + publisher.Said()
	})
	if took := time.Since(began); took > 20*time.Second { // 15 s, and the starts
		v.t.Errorf("it is named after %s", took)
	}
	eventually(v.t, func() bool { return all(func(b pipeline.Batch) bool { return b.Round == 2 && b.Refused == 2 }) }, func() string {
		return "not every batch was refused twice:\n" + sink.Said() + publisher.Said()
	})
	var shown struct {
		Stored int
		TooOld []string `json:"too_old"`
	}
	v.must(json.Unmarshal(v.present.run("producer", "status", "--run", v.run, "--json"), &shown))
	if shown.Stored != 0 || len(shown.TooOld) != 1 {
		v.t.Errorf("status says %+v", shown)
	}
	if !all(func(b pipeline.Batch) bool { return b.Round == 2 }) {
		v.t.Errorf("batches do not wait while the earlier consumer is present")
	}
	earlier.Stops()
	consumer := v.present.start("consumer", "--run", v.run, "--ollama", ollama.url, "--stay")
	publisher.Ends(0)
	v.checkAnswers(prompts, 1, true)
	consumer.Stops()
	sink.Stops()
}
