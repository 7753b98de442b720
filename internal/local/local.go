// Package local assembles the whole of Gleaner in one process: an embedded NATS server, SQLite,
// all engines, and an Ollama server or a simulated one. With it one machine makes a dataset, and
// nothing has to be installed.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/consumer"
	"gleaner/internal/export"
	"gleaner/internal/folder"
	"gleaner/internal/holdings"
	"gleaner/internal/outage"
	"gleaner/internal/ownership"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/prompt"
	"gleaner/internal/reconcile"
	"gleaner/internal/sink"
	"gleaner/internal/status"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// Config says what to generate and where to keep everything.
type Config struct {
	Run         string           // "": derived from the dataset's name and the spec
	Spec        pipeline.Spec    // without the dataset's digest
	FreeBatch   bool             // a new run has small batches, whatever the spec says
	Dataset     producer.Dataset // where the rows come from
	Inputs      []string         // the files that they are in, which no export overwrites
	Data        string           // folder for the store and the queue
	Out         string           // "": the run's name in the folder Data
	MaxBytes    int64            // of all streams together; 0: by the dataset and the free space
	Export      export.Config    // what the dataset looks like; its Out is the one above
	GPUs        []consumer.LaneConfig
	AllowCPU    bool          // as in supervise.HealthChecks, for servers that are started
	Deadline    time.Time     // when Run has returned, whatever is left; zero: never
	FirstToken  time.Duration // as in consumer.Config
	Stall       time.Duration
	AnswerLimit time.Duration // the same
	MaxFailures producer.FailureLimit
	Log         *zap.Logger
	Preflight   func(producer.Preflight)  // called before anything is written
	Watch       func(status.Snapshot)     // called while the run goes on
	Checked     func(rows int)            // called while the dataset is checked
	Loaded      func(rows int)            // called while it is loaded
	Exported    func(generations, of int) // called while the answers are exported; may be nil
	Note        func(notes []string)      // called with what is not called as usual in the dataset; may be nil
}

// A Summary is the result of a call of Run.
type Summary struct {
	status.Snapshot
	Out       string        `json:"out"`
	Lines     int           `json:"lines"`
	Generated int           `json:"generated"`        // answers that this process generated
	Tokens    int           `json:"generated_tokens"` // output tokens of these
	Duplicate int           `json:"duplicate"`        // of these, answers to generations that had one already
	Left      int           `json:"left"`             // generations without an outcome, because the deadline came first
	Notes     []string      `json:"notes,omitempty"`  // what a reader of the dataset should know
	Took      time.Duration `json:"-"`
	Seconds   float64       `json:"seconds"`
}

// lease is short because all workers are in this process, and after a kill the next process should
// not wait long for the batches that this one held.
const lease = 10 * time.Second

// Run loads the dataset, generates every answer and exports the result. It continues from where an
// earlier call with the same arguments stopped. If ctx ends it stops cleanly and returns ctx's
// error. The summary of a run that its failures have paused says what failed.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	started := time.Now()
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return Summary{}, fmt.Errorf("the data folder: %w", err)
	}
	checked, names, err := preflight(ctx, &cfg)
	if err != nil {
		return Summary{}, err
	}
	if cfg.Preflight != nil {
		cfg.Preflight(checked)
	}
	if cfg.Note != nil {
		cfg.Note(names.Notes)
	}
	if err := RefuseUnfit(ctx, checked.Run, cfg.GPUs); err != nil {
		return Summary{}, err
	}
	m := &machine{cfg: cfg, run: checked.Run, names: names}
	defer m.close()
	if err := m.start(ctx, checked); err != nil {
		return Summary{}, err
	}
	if err := m.adopt(ctx, &checked); err != nil {
		return Summary{}, err
	}
	if err := m.setBatch(ctx, &checked.Run); err != nil {
		return Summary{}, err
	}
	run, _, err := producer.Load(ctx, m.store, checked, ulid.Make().String(), cfg.Loaded)
	if err != nil {
		return Summary{}, err
	}
	m.run = run
	if err := m.realSoFar(ctx); err != nil {
		return Summary{}, err
	}
	summary := Summary{}
	err = m.generate(ctx, &summary)
	if _, ok := errors.AsType[*producer.TooManyFailures](err); ok {
		err = errors.Join(err, m.snapshot(ctx, &summary))
		return summary, err
	}
	if err != nil {
		return Summary{}, err
	}
	if err := m.export(ctx, &summary); err != nil {
		return Summary{}, err
	}
	summary.Left = m.left(summary.Snapshot)
	summary.Took = time.Since(started)
	summary.Seconds = summary.Took.Seconds()
	return summary, nil
}

// adopt goes on with the run of an earlier version that was made of the same rows and flags, which
// has a name from another digest. Only such a run may have a template of Go.
func (m *machine) adopt(ctx context.Context, checked *producer.Preflight) error {
	earlier := checked.Run.Spec
	earlier.Dataset.Digest = checked.EarlierDigest
	if name := RunName(earlier); m.cfg.Run == "" && name != checked.Run.Name {
		switch _, err := m.store.Run(ctx, name); {
		case err == nil:
			checked.Run.Name = name
			m.run = checked.Run
			if m.cfg.Export.OwnName {
				m.cfg.Out = filepath.Join(m.cfg.Data, name+".jsonl")
				m.cfg.Export.Out = m.cfg.Out
			}
		case !errors.Is(err, pipeline.ErrNoRun):
			return err
		}
	}
	refused := prompt.RefuseGoTemplate(checked.Run.Spec)
	if refused == nil {
		return nil
	}
	if _, err := m.store.Run(ctx, checked.Run.Name); !errors.Is(err, pipeline.ErrNoRun) {
		return err
	}
	return refused
}

// batchesOfOne is how many generations a run may have whose batches have one each. Here a message
// costs next to nothing, and a batch of several keeps its first answer from the store until the
// last one has come. A million batches take 63 MB in SQLite, where the same rows take 98 MB, and
// 16 s when they are loaded; beyond that batches would fill the store. To count them takes up to
// 3 s, and the publisher looks the less often the longer that takes.
const batchesOfOne = 1_000_000

// setBatch chooses the size of the batches where that is free. A run that is there keeps its own.
func (m *machine) setBatch(ctx context.Context, run *pipeline.Run) error {
	if !m.cfg.FreeBatch {
		return nil
	}
	is, err := m.store.Run(ctx, run.Name)
	switch {
	case err == nil:
		run.Spec.Batch = is.Spec.Batch
	case errors.Is(err, pipeline.ErrNoRun):
		run.Spec.Batch = min(pipeline.DefaultBatch, 1+run.Generations/batchesOfOne)
	default:
		return err
	}
	return nil
}

// realSoFar returns an error if a run that is not simulated holds simulated answers. Earlier
// versions did not mark them, and gave both kinds of runs one name.
func (m *machine) realSoFar(ctx context.Context) error {
	if m.run.Spec.Simulated {
		return nil
	}
	for _, random := range []bool{false, true} {
		answers, err := m.store.SampleAnswers(ctx, m.run.Name, 20, random)
		if err != nil {
			return err
		}
		for _, a := range answers {
			if strings.HasPrefix(a.Result.GPU, simulatedGPU) {
				return fmt.Errorf("run %s in %s has answers that an earlier version simulated, and a real run takes over none of them: give another name with --run, or another folder with --data",
					m.run.Name, m.cfg.Data)
			}
		}
	}
	return nil
}

// A machine is the parts of one call of Run.
type machine struct {
	cfg   Config
	run   pipeline.Run
	names export.Names // of the dataset's columns
	store store.Store
	conn  *stream.Conn

	giveBack func() // the queue's folder
}

// start brings up the store and the queue.
func (m *machine) start(ctx context.Context, dataset producer.Preflight) error {
	bytes, err := queueBytes(folder.Queue(m.cfg.Data), m.cfg.MaxBytes, dataset)
	if err != nil {
		return err
	}
	// The queue's folder is locked, so that two processes never share one data folder.
	config, giveBack, err := folder.Take(ctx, folder.Config{
		Dir: m.cfg.Data, Serve: true, Warn: func(line string) { m.cfg.Log.Warn("nats: " + line) },
	})
	if err != nil {
		return err
	}
	m.giveBack = giveBack
	if m.store, err = store.Open(ctx, m.address()); err != nil {
		return err
	}
	config.Name, config.Lease, config.SinkLease, config.Log = "local", lease, lease, m.cfg.Log
	config.MaxBytes, config.Enlarge, config.OnClose = bytes, m.cfg.MaxBytes > 0, nil
	if m.conn, err = stream.Connect(ctx, config); err != nil {
		return err
	}
	// No program of another store reaches this server: what one left in the folder is of no use.
	guard := ownership.New(ownership.Publisher, m.store, m.conn, m.cfg.Log)
	m.conn.GuardWith(guard.Confirm)
	if err := guard.Seize(ctx); err != nil {
		return err
	}
	if err := m.conn.ForgetSink(ctx); err != nil {
		return err
	}
	return m.conn.Ensure(ctx)
}

// address returns the address of the store.
func (m *machine) address() string { return folder.Store(m.cfg.Data) }

func (m *machine) close() {
	if m.conn != nil {
		m.conn.Close()
	}
	if m.store != nil {
		_ = m.store.Close() // every write is committed already
	}
	if m.giveBack != nil {
		m.giveBack()
	}
}

// generate runs producer, reconciler, consumer and sink until the run is at its end or ctx ends.
func (m *machine) generate(ctx context.Context, summary *Summary) error {
	control := producer.NewControl(m.store, m.conn)
	follow := producer.Config{Poll: 200 * time.Millisecond, Log: m.cfg.Log, MaxFailures: m.cfg.MaxFailures, PauseRun: control.Pause}
	publisher, err := producer.NewPublisher(follow, m.store, m.conn)
	if err != nil {
		return err
	}
	id := ulid.Make().String() // of the only consumer
	reconciler, err := reconcile.New(reconcile.Config{Lease: lease, Consumer: id, Log: m.cfg.Log}, m.store, m.conn, producer.BuildFrom(m.store))
	if err != nil {
		return err
	}
	writer, err := sink.New(sink.Config{FlushEvery: 200 * time.Millisecond, ExtendEvery: lease / 3, Log: m.sinkLog()}, m.conn, m.store)
	if err != nil {
		return err
	}
	way := &wayToStore{OutcomePublisher: m.conn, wrote: writer.Lag}
	work, release := m.note(id)
	defer release()
	workers, err := consumer.New(m.consumerConfig(id, way), work, way, m.cfg.GPUs)
	if err != nil {
		return err
	}

	if err := m.conn.EnsureRun(ctx, m.run); err != nil {
		return err
	}
	// The consumer stops first, so that the sink still stores what the consumer has finished.
	sinking, stopSink := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSink()
	working, stopWork := context.WithCancelCause(ctx)
	defer stopWork(nil)
	following, stopFollowing := context.WithCancel(ctx)
	defer stopFollowing()
	var group, sinks errgroup.Group
	sinks.Go(func() error { return writer.Run(sinking) })
	if err := m.takeUp(ctx, reconciler); err != nil {
		stopSink()
		return errors.Join(err, sinks.Wait())
	}
	before := writer.Written() // of what a killed process has generated
	group.Go(func() error {
		defer stopFollowing() // without workers nothing follows
		return workers.Run(working)
	})
	_, failure := publisher.FollowToEnd(following, m.run, reconciler, m.watcher(ctx, workers, writer))
	early := failure != nil && following.Err() != nil && ctx.Err() == nil // the workers ended first
	stopWork(failure)
	stopped := group.Wait()
	cancelled := errors.Is(failure, pipeline.ErrCancelled)
	if (cancelled || early) && errors.Is(stopped, consumer.ErrCut) { // by the deadline what was cut is generated next time
		stopped = nil
	}
	if early {
		failure = nil
	}
	failure = errors.Join(failure, stopped)
	if early || cancelled || ctx.Err() != nil {
		m.settle()
	}
	stopSink()
	failure = errors.Join(failure, sinks.Wait())
	summary.count(workers.Snapshot(), writer.Written().Duplicate-before.Duplicate)
	return failure
}

// watcher returns what hands each look at the run to the one who watches it, or nil without one.
func (m *machine) watcher(ctx context.Context, workers *consumer.Consumer, writer *sink.Sink) func(producer.Look) {
	if m.cfg.Watch == nil {
		return nil
	}
	follower := status.NewFollower(m.conn, func() []pipeline.Presence { return []pipeline.Presence{workers.Snapshot()} })
	return func(look producer.Look) {
		snapshot := follower.Look(ctx, look.Run, look.Progress, look.Away, time.Now())
		written := writer.Written()
		snapshot.Unstored = max(0, generated(snapshot.Consumers[0])-written.New-written.Duplicate)
		m.cfg.Watch(snapshot)
	}
}

// sinkLog is the log of the sink, without what it says of each run's first answer: that the run is
// pinned to its digest needs no saying where there is one model.
func (m *machine) sinkLog() *zap.Logger {
	if m.cfg.Log.Core().Enabled(zap.DebugLevel) {
		return m.cfg.Log
	}
	return m.cfg.Log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))
}

// note returns what hands out batches. Which of them are held stands in the folder until release is
// called, so that the next process takes them up at once if this one is killed.
func (m *machine) note(id string) (work func() consumer.WorkQueue, release func()) {
	file, err := holdings.Open(m.cfg.Data, holdings.Owner{UID: m.run.UID, Consumer: id, Lease: lease})
	if err != nil {
		m.cfg.Log.Debug("what is held is not noted", zap.Error(err))
		return func() consumer.WorkQueue { return m.conn.Work(m.run.Name) }, func() {}
	}
	return func() consumer.WorkQueue { return m.conn.Work(m.run.Name).Note(file) }, func() { _ = file.Close() }
}

// count takes in what this process has generated.
func (s *Summary) count(present pipeline.Presence, duplicate int) {
	for _, g := range present.GPUs {
		s.Generated += g.Generations
		s.Tokens += g.OutputTokens
	}
	s.Duplicate = duplicate
}

// takeUp has nothing generated again that a killed process has finished: its results are stored and
// what it had acknowledged leaves the queue, before the workers begin. What it held they get at
// once.
func (m *machine) takeUp(ctx context.Context, reconciler *reconcile.Engine) error {
	if _, err := holdings.HandBack(ctx, m.cfg.Data, m.run.UID, m.conn); err != nil {
		m.cfg.Log.Debug("what a killed process held waits for its lease", zap.Error(err))
	}
	switch depth, err := m.conn.Depth(ctx, m.run.Name); {
	case err != nil:
		return err
	case depth.Waiting+depth.Held+depth.Results == 0:
		return nil
	}
	m.settle()
	return reconciler.ClearQueue(ctx, m.run)
}

// settle gives results a moment to reach the store, when the run is interrupted and before it goes
// on. Those that do not reach it stay on the queue.
func (m *machine) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	for {
		depth, err := m.conn.Depth(ctx, m.run.Name)
		if err != nil || depth.Results == 0 {
			return
		}
		if outage.Sleep(ctx, 50*time.Millisecond) != nil {
			return
		}
	}
}
