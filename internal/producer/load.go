package producer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// What is written to the store at once, at most.
const (
	loadChunk      = 1000    // items or batches
	loadChunkBytes = 4 << 20 // of items, about; two chunks are in memory at once
)

// LoadStore is the part of the store that a run is loaded into.
type LoadStore interface {
	CreateRun(ctx context.Context, run pipeline.Run) (stored pipeline.Run, created bool, err error)
	PutItems(ctx context.Context, items []pipeline.Item) error
	PutBatches(ctx context.Context, batches []pipeline.Batch) error
	// Loaded returns how many of the first items and batches are certainly stored.
	Loaded(ctx context.Context, run string) (items, batches int, err error)
	Seal(ctx context.Context, name string, batches int) error
}

// A SpecConflict is the error that a run of this name exists with another spec.
type SpecConflict struct {
	Run         string
	Differences []string // fields, as in flags
}

func (e *SpecConflict) Error() string {
	return fmt.Sprintf("run %s was made with another %s, and a run never changes: name another one with --run, or remove it first with `%s`",
		e.Run, strings.Join(e.Differences, ", "), advice.Command("delete", "--run", e.Run))
}

// Load writes a run to the store: items and batches first, and it seals the run last. It continues
// a load that was interrupted, and does nothing if the run is loaded. It returns the run as it is
// stored, and whether there was anything to do. The uid identifies a new run. If there is a run of
// this name with another spec, the error is a *SpecConflict.
func Load(ctx context.Context, store LoadStore, checked Preflight, uid string, progress func(items int)) (run pipeline.Run, wrote bool, err error) {
	want := checked.Run
	want.UID, want.State, want.CreatedAt = uid, pipeline.RunLoading, time.Now().UTC().Truncate(time.Millisecond)
	want.Key = pipeline.NewKey() // of a new run only, like the uid
	run, _, err = store.CreateRun(ctx, want)
	if err != nil {
		return run, false, err
	}
	if run.State == pipeline.RunDeleting {
		return run, false, fmt.Errorf("run %s is being deleted: finish that first with `%s`", run.Name, advice.Command("delete", "--run", run.Name))
	}
	if run.Spec.Dataset.Digest == checked.EarlierDigest {
		want.Spec.Dataset.Digest = run.Spec.Dataset.Digest
	}
	if differences := want.Spec.Differences(run.Spec); len(differences) > 0 {
		return run, false, &SpecConflict{run.Name, differences}
	}
	if run.State != pipeline.RunLoading {
		return run, false, nil
	}
	items, batches, err := store.Loaded(ctx, run.Name)
	if err != nil {
		return run, false, err
	}
	w := &writer{store: store, run: run, skipItems: items, skipBatches: batches, progress: progress}
	if err := w.write(ctx, checked.Dataset); err != nil {
		return run, true, err
	}
	run.State, run.Batches = pipeline.RunOpen, w.cutter.batches()
	return run, true, nil
}

// A writer is one pass over a dataset that fills a run.
type writer struct {
	store       LoadStore
	run         pipeline.Run
	skipItems   int // that are stored already
	skipBatches int
	progress    func(items int)

	shared  int // messages with which every request begins
	cutter  *cutter
	seq     int // rows seen
	items   []pipeline.Item
	inputs  []byte // of items
	batches []pipeline.Batch
	behind  behind // writes one chunk while the next one is read
}

func (w *writer) write(ctx context.Context, data Dataset) (err error) {
	defer func() {
		if waited := w.behind.wait(); err == nil {
			err = waited
		}
	}()
	spec := w.run.Spec
	empty, err := emptyBytes(w.run)
	if err != nil {
		return err
	}
	renderer, err := prompt.New(spec)
	if err != nil {
		return err
	}
	w.shared = len(renderer.Shared())
	w.cutter = newCutter(w.run.Name, w.run.Generations, spec.Batch, empty, func(b pipeline.Batch) error {
		if b.Index < w.skipBatches {
			return nil
		}
		w.batches = append(w.batches, b)
		if len(w.batches) < loadChunk {
			return nil
		}
		return w.flushBatches(ctx)
	})
	pass := pass{data: data, spec: spec,
		row: func(row []byte, request pipeline.Rendered) error { return w.add(ctx, row, request) },
		bad: func(e *pipeline.RowError) error {
			if data.Bad == nil {
				return nil
			}
			return data.Bad(e)
		},
	}
	if err := pass.run(ctx); err != nil {
		return err
	}
	if digest, earlier := pass.digests.both(); digest != spec.Dataset.Digest && earlier != spec.Dataset.Digest {
		return fmt.Errorf("dataset %s changed while it was being loaded; run %s is not usable: remove it with `%s` and load again",
			data.Name, w.run.Name, advice.Command("delete", "--run", w.run.Name))
	}
	if err := w.flushItems(ctx); err != nil {
		return err
	}
	if err := w.cutter.flush(); err != nil {
		return err
	}
	if err := w.flushBatches(ctx); err != nil {
		return err
	}
	if err := w.behind.wait(); err != nil {
		return err
	}
	return w.store.Seal(ctx, w.run.Name, w.cutter.batches())
}

// add stores the next row and cuts its generations into batches.
func (w *writer) add(ctx context.Context, row []byte, request pipeline.Rendered) error {
	seq := w.seq
	w.seq++
	if seq >= w.skipItems {
		begin := len(w.inputs)
		w.inputs = append(w.inputs, row...)
		w.items = append(w.items, pipeline.Item{Run: w.run.Name, Seq: seq, Input: w.inputs[begin:len(w.inputs):len(w.inputs)]})
		if len(w.items) == loadChunk || len(w.inputs) >= loadChunkBytes {
			if err := w.flushItems(ctx); err != nil {
				return err
			}
		}
	}
	size, err := generationBytes(request.Messages[w.shared:], request.Tools)
	if err != nil {
		return err
	}
	for range w.run.Spec.Samples {
		if err := w.cutter.add(size); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) flushItems(ctx context.Context) error {
	if len(w.items) == 0 {
		return nil
	}
	items, seq := w.items, w.seq
	w.items, w.inputs = make([]pipeline.Item, 0, cap(w.items)), make([]byte, 0, cap(w.inputs))
	return w.behind.start(func() error { return w.store.PutItems(ctx, items) }, func() {
		if w.progress != nil {
			w.progress(seq)
		}
	})
}

func (w *writer) flushBatches(ctx context.Context) error {
	if len(w.batches) == 0 {
		return nil
	}
	batches := w.batches
	w.batches = make([]pipeline.Batch, 0, cap(w.batches))
	return w.behind.start(func() error { return w.store.PutBatches(ctx, batches) }, func() {})
}

// workOf returns the message of a batch with these generations, whose conversations begin with the
// shared messages, and with its token: every round of a batch is made here.
func workOf(run pipeline.Run, shared []pipeline.Message, b pipeline.Batch, generations []pipeline.Generation) pipeline.Work {
	return pipeline.Work{
		Run: run.Name, UID: run.UID, Batch: b.Index, Round: b.Round, Token: run.Key.Token(run.UID, b.Index, b.Round),
		Model: run.Spec.Model, Shared: shared, Options: run.Spec.Options, Generations: generations,
	}
}
