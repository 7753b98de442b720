package local_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// Only the store has the key of a run: what the programs print, log and export, and what is on
// NATS, has it in no form. A token is not shown to people, either.
func TestTheKeyOfARunIsShownNowhere(t *testing.T) {
	p := withNATS(t)
	url := strings.TrimPrefix(p.env[len(p.env)-1], "NATS_URL=")
	p.env = append(p.env, "GLEANER_LOG_LEVEL=debug")
	input := writeRows(t, 8, func(i int) string { return fmt.Sprintf(`{"question": "What is %d and %d?"}`, i, i) })
	var people, queue strings.Builder
	say := func(program string, args ...string) { people.Write(p.run(program, args...)) }
	say("producer", "load", "--run", "words", "--input", input, "--field", "question", "--simulate", "--model", "sim")
	opened, err := store.Open(t.Context(), p.uri)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	run, err := opened.Run(t.Context(), "words")
	if err != nil || len(run.Key) != 32 {
		t.Fatalf("the run has a key of %d bytes: %v", len(run.Key), err)
	}
	_, ollama := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Instant: true, Lengths: func(prompt string, _ int) int {
		return map[bool]int{true: 1 << 20, false: 10}[strings.Contains(prompt, "What is 3")] // it is cut off
	}})
	sink := p.start("sink", "serve", "--flush-every", "100ms")
	consumer := p.start("consumer", "--run", "words", "--ollama", ollama, "--stay")
	publish := p.start("producer", "publish", "--run", "words", "--follow", "--lease", "2s")
	publish.Ends(3)
	for _, line := range []string{
		"producer status --run words --json", "producer status --run words", "producer status --json", "producer audit --run words --json",
		"producer dead list --run words --json", "producer dead list --run words --each --json", "producer dead show --run words --json", "producer dead show --run words",
	} {
		args := strings.Fields(line)
		say(args[0], args[1:]...)
	}
	out := filepath.Join(t.TempDir(), "answers.jsonl")
	export := p.start("sink", "export", "--run", "words", "--out", out, "--with-failed")
	export.Ends(3)
	exported, err := os.ReadFile(out)
	if err != nil || !bytes.Contains(exported, []byte(`"failed"`)) {
		t.Fatalf("the export has no failed generation: %v\n%s", err, exported)
	}
	people.Write(exported)
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{stream.WorkStream, stream.ResultsStream, stream.DeadStream, "KV_" + stream.Bucket} {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		about := []any{s.CachedInfo()}
		for c := range s.ListConsumers(t.Context()).Info() {
			about = append(about, c)
		}
		for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
			if m, err := s.GetMsg(t.Context(), seq); err == nil {
				about = append(about, string(m.Data), m.Header)
			}
		}
		said, err := json.Marshal(about)
		if err != nil {
			t.Fatal(err)
		}
		queue.Write(said)
	}
	consumer.Stops()
	sink.Stops()
	_, _ = fmt.Fprint(&people, export.Said(), sink.Said(), consumer.Said(), publish.Said())
	forms := func(secret []byte) []string {
		return []string{string(secret), hex.EncodeToString(secret), base64.RawStdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret), fmt.Sprint(secret)}
	}
	for _, form := range forms(run.Key) {
		if strings.Contains(people.String()+queue.String(), form) {
			t.Errorf("the key is shown as %q", form)
		}
	}
	for index := range run.Batches {
		for _, form := range forms(run.Key.Token(run.UID, index, 1)) {
			if strings.Contains(people.String(), form) {
				t.Errorf("the token of batch %d is shown as %q", index, form)
			}
		}
	}
	if !strings.Contains(people.String(), `"failures"`) || queue.Len() < 1000 {
		t.Errorf("no dead letter is shown, or nothing is on the queue:\n%s", people.String())
	}
}
