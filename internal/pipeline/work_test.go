package pipeline

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func validWork() Work {
	return Work{
		Run: "r", UID: "01J", Batch: 3, Round: 2, Model: "tiny", Shared: []Message{{Role: RoleSystem, Content: "Be <brief> & kind."}}, Options: Options{NumPredict: 64, Stop: []string{"\n"}},
		Generations: []Generation{
			{Index: 0, Item: 5, Sample: 1, Seed: 9, Messages: User("a < b && c > d?")},
			{Index: 2, Item: 6, Sample: 0, Seed: 1<<31 - 1, Messages: User("\u2028 é\x00")},
		},
	}
}

func validResults() Results {
	return Results{
		Run: "r", UID: "01J", Batch: 3, Round: 2, Consumer: "01K", GPU: "T4 0",
		Results: []Result{
			{Index: 2, Item: 6, Text: "<b> & 'c'", Finish: "stop", Seed: 5, PromptTokens: 1, OutputTokens: 2, ThinkingTokens: 1, DurationMS: 3, CreatedAt: time.Unix(1700000000, 5e6).UTC()},
			{Index: 0, Item: 5, Sample: 1, Text: "x", Finish: "stop"},
		},
	}
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	data, err := Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func encodedWork(t testing.TB, w Work) []byte {
	t.Helper()
	data, err := EncodeWork(w)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMessagesGoThereAndBack(t *testing.T) {
	work, err := DecodeWork(encodedWork(t, validWork()))
	if diff := cmp.Diff(validWork(), work); err != nil || diff != "" {
		t.Errorf("work: %v (-before +after):\n%s", err, diff)
	}
	results, err := DecodeResults(encoded(t, validResults()))
	if diff := cmp.Diff(validResults(), results); err != nil || diff != "" {
		t.Errorf("results: %v (-before +after):\n%s", err, diff)
	}
	if work.ID() != "r/0000003" || results.ID() != "r/0000003" {
		t.Errorf("they are of batches %s and %s", work.ID(), results.ID())
	}
}

func TestEncodingLeavesAnswersReadable(t *testing.T) {
	if got := string(encoded(t, []string{"a < b > c & d"})); got != `["a < b > c & d"]` {
		t.Errorf("got %s", got)
	}
	if _, err := Encode(math.NaN()); err == nil {
		t.Error("NaN was encoded")
	}
}

// What a program of version 1 put on the queue, and what it wrote into a dead letter, is read for
// good.
func TestMessagesOfVersionOneAreRead(t *testing.T) {
	const v1 = `{"run":"r","uid":"01J","batch":3,"round":2,"model":"tiny","system":"Be <brief> & kind.","options":{"num_predict":64,"stop":["\n"]},` +
		`"generations":[{"index":0,"item":5,"sample":1,"seed":9,"prompt":"a < b && c > d?"},{"index":2,"item":6,"sample":0,"seed":2147483647,"prompt":"\u2028 é\u0000"}]}`
	work, err := DecodeWork([]byte(v1))
	if diff := cmp.Diff(validWork(), work); err != nil || diff != "" {
		t.Errorf("work: %v (-want +got):\n%s", err, diff)
	}
	request := work.Request(work.Generations[0])
	want := []Message{{Role: RoleSystem, Content: "Be <brief> & kind."}, {Role: RoleUser, Content: "a < b && c > d?"}}
	if diff := cmp.Diff(want, request.Messages); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	letter, err := DecodeDeadLetter([]byte(`{"run":"r","uid":"01J","batch":3,"round":2,"class":"truncated","message":"m","model":"tiny","system":"Be brief.",` +
		`"failures":[{"index":0,"item":5,"sample":1,"seed":9,"prompt":"why?","class":"truncated","message":"m","attempts":2}],"options":{"num_predict":64}}`))
	if err != nil || len(letter.Failures) != 1 || letter.Failures[0].Prompt() != "why?" || letter.Shared[0].Content != "Be brief." {
		t.Errorf("dead letter: %v %+v", err, letter)
	}
}

func TestAMessageOfALaterVersionIsRefused(t *testing.T) {
	later := strings.Replace(string(encodedWork(t, validWork())), `"version":2`, `"version":5`, 1)
	if _, err := DecodeWork([]byte(later)); err == nil || !strings.Contains(err.Error(), "version 5") {
		t.Errorf("got %v", err)
	}
}

// Programs that know only version 2 would run what has a verdict already, and their dead letters
// would lack it.
func TestWorkWithVerdictsHasAVersionOfItsOwn(t *testing.T) {
	if data := string(encodedWork(t, validWork())); !strings.Contains(data, `"version":2`) {
		t.Errorf("without verdicts: %s", data)
	}
	work := doubtedWork()
	data := encodedWork(t, work)
	if !strings.Contains(string(data), `"version":3`) {
		t.Errorf("with verdicts: %s", data)
	}
	got, err := DecodeWork(data)
	if diff := cmp.Diff(work, got); err != nil || diff != "" {
		t.Errorf("%v (-before +after):\n%s", err, diff)
	}
}

func doubtedWork() Work {
	w := validWork()
	w.Judged, w.Needs = []LaneID{{"01K", "T4 0"}}, 900
	w.Final = []GenerationFailure{{
		Generation: Generation{Index: 1, Item: 5, Sample: 2, Messages: User("x")}, Class: BadItem, Message: "template", Attempts: 1,
		Judge: w.Judged[0], Engine: Ollama, Digest: "d", Context: 512, PromptTokens: 7, Needs: 8, Outcome: 9, Seconds: 1.5, Text: "a\nb",
	}}
	return w
}

func TestWhatIsDoubtedFollowsFromTheClassAndTheContext(t *testing.T) {
	for _, c := range []struct {
		failure GenerationFailure
		want    bool
	}{
		{GenerationFailure{Class: BadItem}, false},
		{GenerationFailure{Class: BadItem, Exceeds: true}, true},
		{GenerationFailure{Class: Truncated}, true},
		{GenerationFailure{Class: Truncated, Exceeds: true}, true},
		{GenerationFailure{Class: Degenerate}, true},
		{GenerationFailure{Class: Unanswered}, true},
		{GenerationFailure{Class: Poison}, false},
		{GenerationFailure{Class: Undeliverable}, false},
		{GenerationFailure{Class: "of a later version"}, false},
	} {
		if got := c.failure.Doubtful(); got != c.want {
			t.Errorf("%s, exceeds %t: doubtful %t", c.failure.Class, c.failure.Exceeds, got)
		}
	}
}

func TestWorkThatCannotBeDoneIsRefused(t *testing.T) {
	long := strings.Repeat("x", 65)
	for name, change := range map[string]func(*Work){
		"no run":               func(w *Work) { w.Run = "" },
		"a run's name":         func(w *Work) { w.Run = "R>" },
		"a negative batch":     func(w *Work) { w.Batch = -1 },
		"a batch beyond":       func(w *Work) { w.Batch = MaxBatches },
		"no round":             func(w *Work) { w.Round = 0 },
		"a long uid":           func(w *Work) { w.UID = long },
		"no model":             func(w *Work) { w.Model = "" },
		"no room":              func(w *Work) { w.Options.NumPredict = 0 },
		"too much room":        func(w *Work) { w.Options.NumPredict = MaxNumPredict + 1 },
		"no generations":       func(w *Work) { w.Generations = nil },
		"too many generations": func(w *Work) { w.Generations = make([]Generation, MaxBatch+1) },
		"a negative index":     func(w *Work) { w.Generations[0].Index = -1 },
		"an index beyond":      func(w *Work) { w.Generations[1].Index = MaxBatch },
		"an index twice":       func(w *Work) { w.Generations[1].Index = 0 },
		"indexes out of order": func(w *Work) { w.Generations[0].Index = 5 },
		"a negative item":      func(w *Work) { w.Generations[0].Item = -1 },
		"an item beyond":       func(w *Work) { w.Generations[0].Item = MaxItems },
		"a negative sample":    func(w *Work) { w.Generations[0].Sample = -1 },
		"a sample beyond":      func(w *Work) { w.Generations[0].Sample = MaxSamples },
		"negative needs":       func(w *Work) { w.Needs = -1 },
		"too many judges":      func(w *Work) { w.Judged = make([]LaneID, MaxJudged+1) },
		"a verdict on what is to be generated": func(w *Work) {
			w.Final = []GenerationFailure{{Generation: w.Generations[1], Class: BadItem}}
		},
		"a long judge": func(w *Work) {
			w.Final = []GenerationFailure{{Generation: Generation{Index: 1}, Judge: LaneID{Consumer: long}}}
		},
		"too much text": func(w *Work) {
			w.Final = []GenerationFailure{{Generation: Generation{Index: 1}, Text: strings.Repeat("x", MaxPartialBytes+1)}}
		},
	} {
		work := validWork()
		change(&work)
		if _, err := DecodeWork(encodedWork(t, work)); err == nil || !strings.HasPrefix(err.Error(), "work message: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeWork([]byte(`{"run": 1`)); err == nil {
		t.Error("half a message was accepted")
	}
}

func TestResultsThatCannotBeStoredAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Results){
		"no run":              func(r *Results) { r.Run = "" },
		"a negative batch":    func(r *Results) { r.Batch = -1 },
		"a batch beyond":      func(r *Results) { r.Batch = MaxBatches },
		"no round":            func(r *Results) { r.Round = 0 },
		"a long uid":          func(r *Results) { r.UID = strings.Repeat("x", 65) },
		"a long consumer":     func(r *Results) { r.Consumer = strings.Repeat("x", 65) },
		"a long engine":       func(r *Results) { r.Engine = EngineName(strings.Repeat("x", 33)) },
		"a long digest":       func(r *Results) { r.Digest = strings.Repeat("x", maxDigest+1) },
		"a long GPU":          func(r *Results) { r.GPU = strings.Repeat("x", 129) },
		"no results":          func(r *Results) { r.Results = nil },
		"too many results":    func(r *Results) { r.Results = make([]Result, MaxBatch+1) },
		"a negative index":    func(r *Results) { r.Results[0].Index = -1 },
		"an index beyond":     func(r *Results) { r.Results[0].Index = MaxBatch },
		"an index twice":      func(r *Results) { r.Results[1].Index = 2 },
		"a negative item":     func(r *Results) { r.Results[0].Item = -1 },
		"an item beyond":      func(r *Results) { r.Results[0].Item = MaxItems },
		"a negative sample":   func(r *Results) { r.Results[0].Sample = -1 },
		"a sample beyond":     func(r *Results) { r.Results[0].Sample = MaxSamples },
		"a text too long":     func(r *Results) { r.Results[0].Text = strings.Repeat("x", MaxTextBytes+1) },
		"a text cut off":      func(r *Results) { r.Results[0].Finish = "length" },
		"no reason to finish": func(r *Results) { r.Results[0].Finish = "" },
		"negative tokens":     func(r *Results) { r.Results[0].OutputTokens = -1 },
		"tokens beyond":       func(r *Results) { r.Results[0].OutputTokens = 1 << 40 },
		"negative thinking":   func(r *Results) { r.Results[0].ThinkingTokens = -1 },
		"too much thinking":   func(r *Results) { r.Results[0].ThinkingTokens = r.Results[0].OutputTokens + 1 },
		"prompt tokens":       func(r *Results) { r.Results[0].PromptTokens = 1 << 40 },
		"a duration":          func(r *Results) { r.Results[0].DurationMS = -5 },
		"a negative seed":     func(r *Results) { r.Results[0].Seed = -5 },
		"an empty text":       func(r *Results) { r.Results[0].Text = " \n" },
	} {
		results := validResults()
		change(&results)
		if _, err := DecodeResults(encoded(t, results)); err == nil || !strings.HasPrefix(err.Error(), "results message: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Results){ // JSON cannot hold these
		"a text in Latin-1":     func(r *Results) { r.Results[0].Text = "caf\xe9" },
		"a consumer in Latin-1": func(r *Results) { r.Consumer = "caf\xe9" },
		"a GPU in Latin-1":      func(r *Results) { r.GPU = "caf\xe9" },
	} {
		results := validResults()
		change(&results)
		if err := results.Validate(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	longest := validResults()
	longest.Results[0].Text = strings.Repeat("x", MaxTextBytes)
	if err := longest.Validate(); err != nil {
		t.Errorf("a text of the longest length: %v", err)
	}
}

func TestAFailureKeepsItsClass(t *testing.T) {
	cause := errors.New("refused")
	failure := Fail(Fatal, "generating %d: %w", 3, cause)
	wrapped := fmt.Errorf("batch 1: %w", errors.Join(errors.New("other"), failure))
	for _, c := range []struct {
		err  error
		want Class
	}{
		{failure, Fatal}, {wrapped, Fatal}, {cause, Retryable}, {nil, Retryable},
		{Fail(BadItem, "outer: %w", failure), BadItem},
	} {
		if got := ClassOf(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
	if failure.Error() != "generating 3: refused" || !errors.Is(wrapped, cause) {
		t.Errorf("the cause is lost: %v", wrapped)
	}
}

func TestTheSeedOfAnAnswerIsTheOneThatWasUsed(t *testing.T) {
	run := Run{Name: "r", Spec: Spec{Seed: 4}}
	own := Seed(4, "r/000000002.001")
	for _, c := range []struct {
		result *StoredResult
		want   int
	}{
		{nil, own}, {&StoredResult{}, own}, {&StoredResult{Result: Result{Seed: 77}}, 77},
	} {
		if got := (Answer{Item: 2, Sample: 1, Result: c.result}).Seed(run); got != c.want {
			t.Errorf("seed %d, want %d", got, c.want)
		}
	}
}

func TestARunIsCompleteWhenEveryGenerationIsStoredDeadOrDropped(t *testing.T) {
	for _, c := range []struct {
		progress Progress
		want     bool
	}{
		{Progress{}, false},
		{Progress{Generations: 3, Stored: 2}, false},
		{Progress{Generations: 3, Stored: 3}, true},
		{Progress{Generations: 3, Stored: 1, Failed: 1, Dropped: 1}, true},
	} {
		if got := c.progress.Complete(); got != c.want {
			t.Errorf("%+v is complete: %v", c.progress, got)
		}
	}
}

func TestAMessageOfCountlessValuesIsNotRead(t *testing.T) {
	text := strings.Repeat(`"},{`, maxValues) // a string, so its commas do not count
	full := validResults()
	full.Results = nil
	for i := range MaxBatch {
		full.Results = append(full.Results, Result{Index: i, Item: i, Text: text[:1000], Finish: "stop", Seed: 1, CreatedAt: time.Now()})
	}
	full.Results[0].Text = text
	if _, err := DecodeResults(encoded(t, full)); err != nil {
		t.Errorf("the largest message: %v", err)
	}
	for _, list := range []string{"null", "{}", "[]", "0"} {
		bomb := []byte(`{"run":"r","round":1,"results":[` + strings.Repeat(list+",", maxValues) + list + `]}`)
		if _, err := DecodeResults(bomb); err == nil || !strings.Contains(err.Error(), "values") {
			t.Errorf("a list of %s: %v", list, err)
		}
	}
}

// What a consumer or producer of another version sends is read without harm, and what is accepted
// stays the same.
func FuzzDecodeWork(f *testing.F) {
	f.Add(encoded(f, validWork()))
	f.Add(encoded(f, toolWork()))
	f.Add([]byte(`{"run":"r","round":1,"model":"m","options":{"num_predict":1},"generations":[{}]}`))
	f.Add([]byte(`{"run":"r","round":1e3,"generations":[{"index":-1}]}`))
	f.Add([]byte(`{"run":"r","round":1,"model":"m","options":{"num_predict":1,"stop":[]},"generations":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		work, err := DecodeWork(data)
		if err != nil {
			return
		}
		again, err := DecodeWork(encodedWork(t, work))
		if diff := cmp.Diff(work, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v (-first +second):\n%s", err, diff)
		}
		if _, _, err := ParseBatchID(work.ID()); err != nil {
			t.Error(err)
		}
		for _, g := range work.Generations {
			if _, _, _, err := ParseGenerationID(GenerationID(work.Run, g.Item, g.Sample)); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzDecodeResults(f *testing.F) {
	f.Add(encoded(f, validResults()))
	f.Add([]byte(`{"run":"r","round":1,"results":[{"finish":"stop"}]}`))
	f.Add([]byte(`{"run":"r","round":1,"results":[{"finish":"stop","text":"\ud800","created_at":"9999-12-31T23:59:59.999999999+23:59"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		results, err := DecodeResults(data)
		if err != nil {
			return
		}
		again, err := DecodeResults(encoded(t, results))
		if diff := cmp.Diff(results, again); err != nil || diff != "" {
			t.Errorf("%v (-first +second):\n%s", err, diff)
		}
		for _, r := range results.Results {
			if _, _, _, err := ParseGenerationID(GenerationID(results.Run, r.Item, r.Sample)); err != nil || len(r.Text) > MaxTextBytes {
				t.Errorf("%d bytes, %v", len(r.Text), err)
			}
		}
	})
}
