package consumer

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// saying answers each prompt with texts of its own, one for each try, and thinks before it.
func saying(texts map[string][]string) func(context.Context, int, pipeline.Request) (pipeline.Completion, error) {
	return func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) {
		completion, err := after(ctx, time.Second)
		if said := texts[r.Prompt()]; err == nil && len(said) > 0 {
			completion.Text, completion.Reasoning = said[min(try, len(said))-1], "```json is what I want```"
		}
		return completion, err
	}
}

// wanting sets the schema that the answers of a batch have to fit.
func wanting(schema string) func(*pipeline.Work) {
	return func(w *pipeline.Work) { w.Options.Schema = json.RawMessage(schema) }
}

const oneInteger = `{"type":"object","properties":{"answer":{"type":"integer"}},"required":["answer"]}`

func TestAnAnswerIsCheckedWhenItArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const good, wrapped, wrong = `{"answer": 4.0}`, "Here it is:\n```json\n{\"answer\": 4.0}\n```\n", `{"answer": "four"}`
		w, m := newWorld(t), &fakeModel{answer: saying(map[string][]string{"good": {good}, "wrapped": {wrapped}, "second": {wrong, good}, "never": {wrong, "four"}, "any": {wrong}})}
		w.addWork(1, 1, wanting(oneInteger), "good", "wrapped", "second")
		w.addWork(2, 1, wanting(oneInteger), "never")
		w.addWork(3, 1, wanting(pipeline.AnyJSON), "any")
		w.add(4, 1, "wrapped")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)

		sent := w.of(1)[1].sent.Results
		if len(sent) != 3 {
			t.Fatalf("%+v", sent)
		}
		other := pipeline.Seed(1002, pipeline.GenerationID("r", 12, 1)) // the same on every GPU
		for i, seed := range []int{0, 0, other} {
			if sent[i].Text != good || sent[i].Reasoning == "" || sent[i].Seed != seed {
				t.Errorf("stored: %+v, want %s and the seed %d", sent[i], good, seed)
			}
		}
		f := w.of(2)[1].dead.Failures[0]
		if f.Class != pipeline.Malformed || f.Attempts != 2 || f.Seed != 1000 || f.Text != "four" || !strings.HasPrefix(f.Message, "the answer is no JSON: invalid character 'o'") {
			t.Errorf("%+v, want two attempts, the text of the last one and what is wrong with it", f)
		}
		if !f.Doubtful() {
			t.Error("no other GPU is asked")
		}
		if got := w.of(3)[1].sent.Results; len(got) != 1 || got[0].Text != wrong {
			t.Errorf("what any JSON fits became %+v", got)
		}
		if got := w.of(4)[1].sent.Results; len(got) != 1 || got[0].Text != wrapped {
			t.Errorf("without a schema the answer became %+v", got)
		}
		for _, request := range m.asked() {
			if request.Prompt() == "good" && string(request.Options.Schema) != oneInteger {
				t.Errorf("the server was told of the schema %q", request.Options.Schema)
			}
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// Else a model that fills JSON with white space would be taken for a server that is broken.
func TestACanaryHasToFitNoSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: saying(map[string][]string{"p": {"four"}})}
		for batch := range 2 * streakLimit {
			w.addWork(1+batch, 1, wanting(oneInteger), "p")
		}
		r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 1})
		time.Sleep(10 * time.Minute)
		if m.canaries() == 0 {
			t.Error("a row of verdicts caused no doubt")
		}
		for _, request := range m.requests {
			if isCanary(request) && len(request.Options.Schema) > 0 {
				t.Errorf("a canary has the schema %s", request.Options.Schema)
			}
		}
		for batch := range 2 * streakLimit {
			if diff := cmp.Diff(map[int]pipeline.Class{0: pipeline.Malformed}, w.failed(1+batch)); diff != "" {
				t.Errorf("batch %d (-want +got):\n%s", 1+batch, diff)
			}
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestWorkWithASchemaThatCannotBeReadGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{}
		w.addWork(1, 1, wanting(`{"$schema":"https://json-schema.org/draft/2099-01/schema"}`), "p")
		r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		w.handedBack(1)
		if asked := m.asked(); len(asked) > 0 {
			t.Errorf("the model was asked %d times", len(asked))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// One schema is parsed once, and not for each answer.
func TestASchemaIsKept(t *testing.T) {
	var c schemaCheck
	first, err := c.Of([]byte(oneInteger))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Of([]byte(oneInteger)); err != nil || again != first {
		t.Errorf("it was parsed again (%v)", err)
	}
	if other, err := c.Of([]byte(pipeline.AnyJSON)); err != nil || other == first {
		t.Errorf("another schema is the same (%v)", err)
	}
	if none, err := c.Of(nil); err != nil || none != nil {
		t.Errorf("without a schema there is %v (%v)", none, err)
	}
}
