package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// A fakeStore has a run of any size, with rows of ten bytes, and answers of some runs.
type fakeStore struct {
	answers map[string]int // of each run; an answer has 40 tokens
	asked   []int          // batches that were read
	missing int            // a batch that is not there; 0: none
}

func (s *fakeStore) SampleAnswers(_ context.Context, run string, count int, random bool) (answers []pipeline.Answer, err error) {
	if count != sampleAnswers || !random {
		return nil, fmt.Errorf("asked for %d answers", count)
	}
	for range s.answers[run] {
		answers = append(answers, pipeline.Answer{Result: &pipeline.StoredResult{Result: pipeline.Result{Text: "four", OutputTokens: 40, DurationMS: 2000}}})
	}
	return answers, nil
}

func (s *fakeStore) Items(_ context.Context, run string, first, count int) (items []pipeline.Item, err error) {
	for i := range count {
		items = append(items, pipeline.Item{Run: run, Seq: first + i, Input: []byte("0123456789")})
	}
	return items, nil
}

// BatchesAt returns batches in their third round, with an answer each.
func (s *fakeStore) BatchesAt(_ context.Context, run string, indexes []int) (batches []pipeline.Batch, err error) {
	for _, i := range indexes {
		if s.asked = append(s.asked, i); s.missing == 0 || i != s.missing {
			batches = append(batches, pipeline.Batch{Run: run, Index: i, First: 8 * i, Count: 8, Round: 3, Done: []int{1}, State: pipeline.Queued})
		}
	}
	return batches, nil
}

// builder makes messages as the producer does, and reads the rows for them.
func builder(rows RowReader) (pipeline.BuildFunc, error) {
	return func(ctx context.Context, batches []pipeline.Batch) ([]pipeline.Work, error) {
		var all []pipeline.Work
		for _, b := range batches {
			if b.Round != 1 || len(b.Done) > 0 {
				return nil, fmt.Errorf("batch %d is in round %d with %d answers, and not as it was published first", b.Index, b.Round, len(b.Done))
			}
			if _, err := rows.Items(ctx, b.Run, b.First, b.Count); err != nil {
				return nil, err
			}
			all = append(all, workAt(b.Index, b.Count))
		}
		return all, nil
	}, nil
}

func config(batches int) Config {
	cfg := Config{Run: run(batches), Window: 2000, Engines: engines()}
	cfg.Run.State = pipeline.RunOpen
	return cfg
}

func TestALoadedRunIsPlannedByItsOwnRowsAndAnswers(t *testing.T) {
	store := &fakeStore{answers: map[string]int{"r": 3, "other": 5}}
	e, err := EstimateRun(t.Context(), config(100), prices(), store, builder)
	if err != nil {
		t.Fatal(err)
	}
	if e.RowBytes != 10 || e.Basis.Batches != 100 || e.Basis.Answers != 3 || e.Basis.AnswerTokens != 40 || !e.Fleet.Measured {
		t.Errorf("rows of %g bytes, by %+v, %+v", e.RowBytes, e.Basis, e.Fleet)
	}
	cfg := config(100)
	cfg.Like = "other"
	if e, err = EstimateRun(t.Context(), cfg, prices(), store, builder); err != nil || e.Basis.Answers != 5 {
		t.Errorf("%v, by %+v, want the answers of the other run", err, e.Basis)
	}
	if e, err = EstimateRun(t.Context(), config(100), prices(), &fakeStore{}, builder); err != nil || e.Basis.Answers != 0 {
		t.Errorf("%v, by %+v: a run without answers is planned by what is assumed", err, e.Basis)
	}
}

func TestOfALargeRunSomeBatchesAreWeighed(t *testing.T) {
	store := &fakeStore{}
	cfg := config(6 * sampleBatches)
	said := 0
	cfg.Sampled = func(done, of int) {
		if said++; done != said || of != sampleBatches {
			t.Errorf("batch %d: %d of %d are read", said, done, of)
		}
	}
	e, err := EstimateRun(t.Context(), cfg, prices(), store, builder)
	if err != nil || e.Basis.Batches != sampleBatches || e.Batches != 6*sampleBatches {
		t.Errorf("%v, %+v of %d batches", err, e.Basis, e.Batches)
	}
	if !cmp.Equal(store.asked[:3], []int{0, 6, 12}) {
		t.Errorf("it began with the batches %v", store.asked[:3])
	}
}

func TestWhatCannotBePlannedSaysWhy(t *testing.T) {
	loading, empty, like := config(100), config(100), config(100)
	loading.Run.State, empty.Run.Batches, like.Like = pipeline.RunLoading, 0, "other"
	for name, c := range map[string]struct {
		cfg   Config
		store *fakeStore
		want  string
	}{
		"a run that is loading":   {loading, &fakeStore{}, "run r is not loaded completely: repeat `producer load --run r` with its flags, or plan its dataset with --input"},
		"a run without batches":   {empty, &fakeStore{}, "run r is not loaded completely"},
		"a batch that is missing": {config(100), &fakeStore{missing: 7}, "batch r/0000007 is missing in the store"},
		"like a run that has no answers": {like, &fakeStore{answers: map[string]int{"r": 1}},
			"run other has no answers yet: let some be generated, or plan without --like"},
	} {
		if _, err := EstimateRun(t.Context(), c.cfg, prices(), c.store, builder); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestADatasetIsPlannedByTheBatchesThatItIsCutInto(t *testing.T) {
	cfg := config(0)
	cfg.Run.Items, cfg.Run.Generations, cfg.RowBytes = 800, 800, 12
	cuts := 0
	cut := func(_ context.Context, take func(int) bool, do func(pipeline.Work) error) (int, error) {
		cuts++
		for _, w := range works(100, 8) {
			if take(w.Batch) {
				if err := do(w); err != nil {
					return 0, err
				}
			}
		}
		return 100, nil
	}
	e, err := EstimateDataset(t.Context(), cfg, prices(), nil, cut)
	if err != nil || cuts != 2 || e.Batches != 100 || e.Basis.Batches != 100 || e.RowBytes != 12 || e.Basis.Answers != 0 {
		t.Errorf("%v after %d cuts: %d batches by %+v, rows of %g bytes", err, cuts, e.Batches, e.Basis, e.RowBytes)
	}
	cfg.Like = "other"
	if e, err = EstimateDataset(t.Context(), cfg, prices(), &fakeStore{answers: map[string]int{"other": 5}}, cut); err != nil || e.Basis.Answers != 5 {
		t.Errorf("%v, by %+v, want the answers of the other run", err, e.Basis)
	}
	broken := errors.New("line 7 is broken")
	_, err = EstimateDataset(t.Context(), cfg, prices(), &fakeStore{}, func(context.Context, func(int) bool, func(pipeline.Work) error) (int, error) { return 0, broken })
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}
