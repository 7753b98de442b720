package storetest

import (
	"errors"
	"testing"
	"time"

	"gleaner/internal/pipeline"
)

func answersInOrder(t *testing.T, s *suite) {
	f := s.load(t, 12, 12, 8)
	var want []pipeline.Answer
	for n := range f.run.Generations {
		item, sample := n/12, n%12
		a := pipeline.Answer{Item: item, Sample: sample, Input: f.items[item].Input}
		if n%3 != 0 && item != 4 {
			m := f.results(n/8, "text", n%8)
			a.Result = &pipeline.StoredResult{Result: m.Results[0], Batch: m.Batch, Round: 1, Consumer: m.Consumer, GPU: m.GPU, Engine: m.Engine, Digest: m.Digest}
		}
		want = append(want, a)
	}
	for batch := range f.cut {
		m := f.results(batch, "text")
		for i := f.cut[batch].Count - 1; i >= 0; i-- {
			if a := want[f.cut[batch].First+i]; a.Result != nil {
				m.Results = append(m.Results, a.Result.Result)
			}
		}
		if len(m.Results) > 0 {
			f.write(m)
		}
	}
	same(t, f.answers(), want)
}

func manyAnswers(t *testing.T, s *suite) {
	f := s.load(t, 2100, 1, 100)
	for batch := range f.cut {
		if batch != 7 {
			f.write(f.results(batch, "text", f.all(batch)...))
		}
	}
	answers := f.answers()
	same(t, len(answers), 2100)
	for i, a := range answers {
		if a.Item != i || string(a.Input) != string(f.items[i].Input) || (a.Result == nil) != (i/100 == 7) || a.Result != nil && a.Result.Item != i {
			t.Fatalf("answer %d is %+v", i, a)
		}
	}
}

func answersStop(t *testing.T, s *suite) {
	f := s.prepare(t, 6, 2, 4)
	f.run.Items, f.run.Generations = 4, 8 // two items more than the run has
	f.ok(f.create())
	f.put()
	f.write(f.results(0, "x", 0), f.results(2, "x", 0, 3))
	same(t, len(f.answers()), 8)
	seen := 0
	for _, err := range f.store.Answers(f.ctx, f.run.Name) {
		f.ok(err)
		if seen++; seen == 3 {
			break
		}
	}
	same(t, seen, 3)
}

func answersWhileLoading(t *testing.T, s *suite) {
	f := s.prepare(t, 6, 2, 4)
	f.ok(f.create())
	same(t, len(f.answers()), 0)
	f.ok(f.store.PutItems(f.ctx, f.items[:4]))
	same(t, len(f.answers()), 8)
	f.ok(f.store.Seal(f.ctx, f.run.Name, len(f.cut)))
	rows, failed := 0, false
	for _, err := range f.store.Answers(f.ctx, f.run.Name) {
		if failed = err != nil; failed {
			same(t, pipeline.ClassOf(err), pipeline.Fatal)
			continue
		}
		rows++
	}
	same(t, []any{rows, failed}, []any{8, true}) // an open run with an item missing is damaged
}

func digests(t *testing.T, s *suite) {
	f := s.load(t, 20, 1, 4)
	count := func() []pipeline.DigestCount {
		counts, err := f.store.Digests(f.ctx, f.run.Name)
		f.ok(err)
		return counts
	}
	same(t, len(count()), 0)
	for batch, of := range map[int][2]string{0: {"ollama", "a"}, 1: {"ollama", "a"}, 2: {"ollama", "b"}, 3: {"", ""}, 4: {"openai", "a"}} {
		m := f.results(batch, "text", f.all(batch)...)
		m.Engine, m.Digest = pipeline.EngineName(of[0]), of[1]
		f.write(m)
	}
	want := []pipeline.DigestCount{
		{Engine: "ollama", Digest: "a", Answers: 8}, {Answers: 4}, {Engine: "ollama", Digest: "b", Answers: 4}, {Engine: "openai", Digest: "a", Answers: 4},
	}
	same(t, count(), want)
	s.load(t, 1, 1, 1) // another run changes nothing
	same(t, count(), want)
	none, err := f.store.Digests(f.ctx, s.name())
	same(t, []any{len(none), err}, []any{0, nil})
}

func itemAnswers(t *testing.T, s *suite) {
	f := s.load(t, 9, 3, 4)
	f.write(f.results(3, "four", 0, 2)) // generations 12 and 14: those of item 4 but for its second
	all := f.answers()
	for item := range 9 {
		got, err := f.store.ItemAnswers(f.ctx, f.run.Name, item)
		f.ok(err)
		same(t, got, all[3*item:3*item+3])
	}
	got, err := f.store.ItemAnswers(f.ctx, f.run.Name, 9)
	same(t, []any{len(got), err}, []any{0, nil})
	_, err = f.store.ItemAnswers(f.ctx, s.name(), 0)
	same(t, errors.Is(err, pipeline.ErrNoRun), true)
}

func samples(t *testing.T, s *suite) {
	f := s.load(t, 40, 2, 8)
	got, err := f.store.SampleAnswers(f.ctx, f.run.Name, 3, false)
	f.ok(err)
	same(t, len(got), 0)
	f.write(f.results(1, "one", 2, 3, 5), f.results(5, "five", f.all(5)...))
	got, err = f.store.SampleAnswers(f.ctx, f.run.Name, 4, false)
	f.ok(err)
	all := f.answers()
	same(t, got, []pipeline.Answer{all[10], all[11], all[13], all[40]})
	for count, want := range map[int]int{0: 0, 1: 1, 5: 5, 11: 11, 50: 11} {
		got, err := f.store.SampleAnswers(f.ctx, f.run.Name, count, true)
		f.ok(err)
		same(t, len(got), want)
		seen := map[int]bool{}
		for _, a := range got {
			n := 2*a.Item + a.Sample
			same(t, a, all[n])
			if a.Result == nil || seen[n] {
				t.Errorf("generation %d is not stored, or stands there twice", n)
			}
			seen[n] = true
		}
	}
}

func measures(t *testing.T, s *suite) {
	f := s.load(t, 20, 1, 4)
	is := func(want pipeline.Measures) {
		t.Helper()
		got, err := f.store.Measure(f.ctx, f.run.Name)
		f.ok(err)
		same(t, got, want)
	}
	is(pipeline.Measures{})
	for batch, text := range []string{"", "four", "of five", "four", "another one"} {
		m := f.results(batch, text, f.all(batch)...)
		for i := range m.Results { // an hour apart, a batch takes 30 s of work and stands still for 10
			m.Results[i].CreatedAt, m.Results[i].DurationMS = start().Add(time.Duration(batch)*time.Hour+time.Duration(20*(i%3))*time.Second), 10_000
			m.Results[i].Reasoning = map[bool]string{true: "hm"}[i == 0]
		}
		f.write(m)
	}
	want := pipeline.Measures{Answers: 20, Thought: 5, Shortest: 0, Median: 4, Longest: 11, Work: 5 * 30 * time.Second}
	is(want)
	s.load(t, 1, 1, 1) // another run changes nothing
	is(want)
	none, err := f.store.Measure(f.ctx, s.name())
	same(t, []any{none, err}, []any{pipeline.Measures{}, nil})
}
