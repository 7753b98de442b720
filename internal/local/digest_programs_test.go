package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// A digestRun is a run by the three programs whose model changes.
type digestRun struct {
	*programs
	store   store.Store
	sink    *processtest.Process
	publish *processtest.Process
	rows    int
}

// beginDigestRun loads run words with this many rows, and starts its sink and its publisher.
func beginDigestRun(t *testing.T, rows int, load ...string) *digestRun {
	t.Helper()
	d := &digestRun{programs: withNATS(t), rows: rows}
	input := writeRows(t, rows, func(i int) string { return fmt.Sprintf(`{"question": "What is the sum of %d and %d?"}`, i, 7*i) })
	d.run("producer", slices.Concat([]string{"load", "--run", "words", "--input", input, "--field", "question"}, load)...)
	var err error
	if d.store, err = store.Open(t.Context(), d.uri); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.store.Close() })
	d.sink = d.start("sink", "serve", "--flush-every", "100ms")
	d.publish = d.start("producer", "publish", "--run", "words", "--follow", "--lease", "3s")
	return d
}

// simulatedGPU starts a simulated server of a digest, whose answers say which digest made them. It
// is slow enough that what is held is seen before the run is over.
func simulatedGPU(t *testing.T, digest string) (sim *ollamasim.Server, url string) {
	t.Helper()
	return simtest.Start(t, ollamasim.Config{Digest: digest, Signed: true, Slots: 4, Speed: 10, ChunkEvery: 20 * time.Millisecond})
}

// says waits until the status of the run, and what a program says, have these words.
func (d *digestRun) says(words ...string) {
	d.t.Helper()
	var said string
	eventually(d.t, func() bool {
		said = string(d.run("producer", "status", "--run", "words"))
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(said, word) })
	}, func() string { return fmt.Sprintf("the status does not say %q:\n%s", words, said) })
}

// end waits until every row is stored, and returns how many answers are stored of each digest.
func (d *digestRun) end() map[string]int {
	d.t.Helper()
	d.publish.Ends(0)
	var audit struct {
		Stored, Lost int
		Digests      []pipeline.DigestCount
	}
	if err := json.Unmarshal(d.run("producer", "audit", "--run", "words", "--json"), &audit); err != nil {
		d.t.Fatal(err)
	}
	if audit.Stored != d.rows || audit.Lost != 0 {
		d.t.Errorf("the audit says %+v, want %d stored", audit, d.rows)
	}
	of := map[string]int{}
	for _, c := range audit.Digests {
		of[c.Digest] += c.Answers
	}
	lines := strings.Split(strings.TrimSpace(string(d.run("sink", "export", "--run", "words", "--out", "-"))), "\n")
	exported := map[string]int{}
	for _, line := range lines {
		var row struct {
			Gleaner struct{ Digest, Engine string }
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Gleaner.Engine != string(pipeline.Ollama) {
			d.t.Fatalf("%v: %s", err, line)
		}
		exported[row.Gleaner.Digest]++
	}
	for digest, n := range of {
		if exported[pipeline.ShortDigest(digest)] != n {
			d.t.Errorf("the export has %v, the audit %v", exported, of)
		}
	}
	return of
}

// signatures counts the stored answers by the digest that really made them.
func (d *digestRun) signatures() map[string]int {
	d.t.Helper()
	made := map[string]int{}
	for answer, err := range d.store.Answers(d.t.Context(), "words") {
		if err != nil {
			d.t.Fatal(err)
		}
		if answer.Result != nil {
			by, _, _ := strings.Cut(answer.Result.Text, " ")
			made[by]++
			if answer.Result.Digest != by {
				d.t.Errorf("item %d says that %s made it, and %s did", answer.Item, answer.Result.Digest, by)
			}
		}
	}
	return made
}

// Two notebooks have two models under one name. One of them answers the whole run, the other one
// is held, and everything says so.
func TestOfTwoDigestsUnderOneNameOneAnswersTheRun(t *testing.T) {
	t.Parallel()
	d := beginDigestRun(t, 300, "--simulate", "--model", "sim")
	for _, digest := range []string{oneDigest, otherDigest} {
		_, url := simulatedGPU(t, digest)
		d.start("consumer", "--run", "words", "--ollama", url, "--slots", "4")
	}
	d.says("held", pipeline.ShortDigest(oneDigest), pipeline.ShortDigest(otherDigest), "producer pin --run words")
	of := d.end()
	if len(of) != 1 {
		t.Errorf("stored are %v", of)
	}
	if made := d.signatures(); len(made) != 1 {
		t.Errorf("the answers were made by %v", made)
	}
	if said := d.sink.Said(); !strings.Contains(said, "pinned to the digest of its first answer") {
		t.Errorf("the sink's log does not say that it pinned the run:\n%s", said)
	}
}

// A model is replaced in the middle of a run. Where another GPU has the old one, the run ends with
// that. Where none has it, the run waits and says why, and a pin to the new one mends it.
func TestAModelThatIsReplacedInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]bool{"another GPU has the old one": true, "no GPU has the old one, and a pin mends that": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const rows = 300
			d := beginDigestRun(t, rows, "--simulate", "--model", "sim")
			sim, url := simulatedGPU(t, oneDigest)
			d.start("consumer", "--run", "words", "--ollama", url, "--slots", "4")
			waitForStored(t, d.store, rows/10)
			sim.SetDigest("sim", otherDigest)
			if other {
				_, url := simulatedGPU(t, oneDigest)
				d.start("consumer", "--run", "words", "--ollama", url, "--slots", "4")
			}
			d.says("held", pipeline.ShortDigest(oneDigest), pipeline.ShortDigest(otherDigest), "producer pin --run words "+otherDigest)
			if !other {
				if said := string(d.run("producer", "pin", "--run", "words", otherDigest)); !strings.Contains(said, "before it was pinned to "+oneDigest) || !strings.Contains(said, "gleaner.digest") {
					t.Errorf("pin says\n%s", said)
				}
			}
			of, made := d.end(), d.signatures()
			if other && (of[oneDigest] != rows || made[oneDigest] != rows) || !other && (len(of) != 2 || of[oneDigest] < rows/10 || of[otherDigest] == 0 || of[otherDigest] != made[otherDigest]) {
				t.Errorf("stored are %v, made were they by %v", of, made)
			}
			if audit := string(d.run("producer", "audit", "--run", "words")); strings.Contains(audit, "of several digests") == other {
				t.Errorf("the audit says\n%s", audit)
			}
			if !other && !strings.Contains(d.sink.Said(), "the run is pinned to another digest") {
				t.Errorf("the sink's log does not name the change:\n%s", d.sink.Said())
			}
		})
	}
}

// The same with the real server: `ollama cp` puts another model under the name in the middle of the
// run, and back. No answer of the other one is stored: the old one, asked again, gives each of them
// word for word.
func TestOllamaCpOntoTheModelInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	const rows, model, old, other = 60, "gleaner-digest-model", "gleaner-digest-old", "gleaner-digest-other"
	host := ollamatest.Host(t)
	copyModel := func(from, to string) {
		t.Helper()
		call(t, http.MethodPost, host+"/api/copy", map[string]any{"source": from, "destination": to})
	}
	copyModel("tiny", old)
	call(t, http.MethodPost, host+"/api/create", map[string]any{"model": other, "from": "tiny", "system": "You are another one.", "stream": false})
	copyModel(old, model)
	t.Cleanup(func() {
		for _, name := range []string{model, old, other} {
			call(t, http.MethodDelete, host+"/api/delete", map[string]any{"model": name})
		}
	})

	d := beginDigestRun(t, rows, "--model", model, "--num-predict", "1500")
	gate := startGate(t, host, rows/2)
	d.start("consumer", "--run", "words", "--ollama", gate.url, "--slots", "2")
	waitForStored(t, d.store, rows/10)
	copyModel(other, model)
	gate.open()
	d.says("held", "producer pin --run words")
	copyModel(old, model)
	if of := d.end(); len(of) != 1 {
		t.Errorf("stored are %v", of)
	}
	client, err := ollama.New(host, ollama.Config{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	run, err := d.store.Run(t.Context(), "words")
	if err != nil {
		t.Fatal(err)
	}
	for answer, err := range d.store.Answers(t.Context(), "words") {
		if err != nil {
			t.Fatal(err)
		}
		prompt := fmt.Sprintf("What is the sum of %d and %d?", answer.Item, 7*answer.Item)
		again, err := client.Generate(t.Context(), pipeline.Request{Model: old, Messages: pipeline.User(prompt), Seed: answer.Seed(run), Options: run.Spec.Options})
		if err != nil || again.Text != answer.Result.Text {
			t.Errorf("item %d is\n%s\nand the old model says\n%s (%v)", answer.Item, answer.Result.Text, again.Text, err)
		}
	}
}

// A gate is in front of a server that would be done too soon: after some chats it holds the others
// until it is opened.
type gate struct {
	url  string
	open func()
}

func startGate(t *testing.T, host string, chats int64) gate {
	t.Helper()
	target, err := url.Parse(host)
	if err != nil {
		t.Fatal(err)
	}
	var begun atomic.Int64
	opened := make(chan struct{})
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/chat" && begun.Add(1) > chats {
			select {
			case <-opened:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	g := gate{server.URL, sync.OnceFunc(func() { close(opened) })}
	t.Cleanup(func() {
		g.open()
		server.CloseClientConnections()
		server.Close()
	})
	return g
}

// On one machine it is the same, and the command that the log names mends it as it stands there.
func TestAModelThatIsReplacedWhileOneMachineDoesEverything(t *testing.T) {
	t.Parallel()
	p := build(t, "")
	sim, url := disguisetest.Start(t, ollamasim.Config{Models: []string{"m"}, Digest: oneDigest, Signed: true, Slots: 4, Speed: 20, ChunkEvery: 20 * time.Millisecond})
	data := filepath.Join(t.TempDir(), "data")
	gleaner := p.start("gleaner", "run", "--input", "problems.jsonl", "--field", "question", "--model", "m", "--ollama", url, "--slots", "4", "--data", data, "--run", "words", "--log-level", "debug")
	gleaner.WaitFor("pinned to the digest")
	sim.SetDigest("m", otherDigest)
	gleaner.WaitFor("`gleaner pin ")
	_, after, _ := strings.Cut(gleaner.Said(), "`gleaner ")
	command, _, _ := strings.Cut(after, "`")
	if said := string(p.run("gleaner", strings.Fields(command)...)); !strings.Contains(said, "run words is pinned to "+otherDigest+"; before it was pinned to "+oneDigest) {
		t.Errorf("%s says\n%s", command, said)
	}
	gleaner.Ends(0)
	written, err := os.ReadFile(filepath.Join(data, "words.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(written), []byte("\n"))
	for _, line := range lines {
		var row struct {
			Response string
			Gleaner  struct{ Digest string }
		}
		if err := json.Unmarshal(line, &row); err != nil || row.Gleaner.Digest == "" || !strings.HasPrefix(row.Response, row.Gleaner.Digest) {
			t.Errorf("%v: %s", err, line)
		}
	}
	if len(lines) != 50 {
		t.Errorf("%d lines, want 50", len(lines))
	}
}

// call asks a server's API for something that it does whole.
func call(t *testing.T, method, url string, request any) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, bytes.NewReader(body)) // also at the end
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%s %s: %s", method, url, answer.Status)
	}
}
