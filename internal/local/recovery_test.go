//go:build unix

package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/natsd"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

const (
	lossRun  = "losses"
	lossRows = 200
)

// Whatever NATS loses in the middle of a run is repaired from the store, without any program being
// restarted: each generation ends as one stored answer or in one dead letter.
func TestARunCompletesWhateverNATSLoses(t *testing.T) {
	t.Parallel()
	built := build(t, "")
	for name, losses := range map[string][]func(*lossy){
		"work":         {(*lossy).purgeWork, (*lossy).deleteDurable, (*lossy).deleteWork},
		"everything":   {(*lossy).loseEverything},
		"results":      {(*lossy).purgeResults, (*lossy).deleteResults},
		"dead letters": {(*lossy).deleteDead, (*lossy).deleteSinks, (*lossy).deletePresence},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := startLossy(t, *built)
			for i, lose := range losses {
				l.reach(lossRows * (1 + i) / (2 + len(losses)))
				lose(l)
			}
			l.end()
		})
	}
}

// A lossy is a run on processes, with a NATS server that loses things.
type lossy struct {
	*programs
	config  natsd.Config
	server  *natsd.Server
	js      jetstream.JetStream
	store   store.Store
	ollama  *ollamasim.Server
	texts   map[int]string // stored at the last check, by item: they never change
	sink    *processtest.Process
	publish *processtest.Process
	others  []*processtest.Process
}

// startLossy starts a run in which each tenth generation has no answer.
func startLossy(t *testing.T, p programs) *lossy {
	t.Helper()
	uri := "sqlite:" + filepath.Join(t.TempDir(), "gleaner.db")
	p.t = t
	l := &lossy{programs: &p, config: natsd.Config{Dir: t.TempDir(), Port: -1}, texts: map[int]string{}}
	var err error
	if l.server, err = natsd.Start(l.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.server.Shutdown() })
	l.config.Port = port(t, l.server.URL())
	p.env = append(slices.Clone(p.env), "MONGODB_URI="+uri, "NATS_URL="+l.server.URL())
	if l.store, err = store.Open(t.Context(), uri); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.store.Close() })
	var url string
	l.ollama, url = simtest.Start(t, ollamasim.Config{
		Models: []string{"sim"}, TokensPerSecond: func(int) float64 { return 100 }, Lengths: func(string, int) int { return 10 },
	}, badRows())

	input := writeRows(t, lossRows, func(i int) string { return goodOrBad(i, i%10 == 0) })
	l.run("producer", "load", "--run", lossRun, "--input", input, "--field", "question", "--simulate", "--model", "sim", "--batch", "4")
	l.sink = l.start("sink", "serve", "--flush-every", "50ms")
	l.publish = l.start("producer", "publish", "--run", lossRun, "--follow", "--lease", "1s", "--window", "80")
	for range 2 {
		l.others = append(l.others, l.start("consumer", "--run", lossRun, "--ollama", url, "--slots", "2"))
	}
	nc, err := nats.Connect(l.server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if l.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually waits until a condition holds.
func (l *lossy) eventually(what string, is func(ctx context.Context) (bool, error)) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		ok, err := is(ctx)
		if ok {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			l.t.Fatalf("waited for two minutes, and still not: %s (%v)\nproducer: %s\nsink: %s\nconsumer: %s", what, err, l.publish.Said(), l.sink.Said(), l.others[0].Said())
		}
	}
}

// reach waits until this number of generations are stored or dead, and checks that no stored text
// has changed.
func (l *lossy) reach(ended int) {
	l.t.Helper()
	l.eventually(fmt.Sprintf("%d generations are stored or dead", ended), func(ctx context.Context) (bool, error) {
		progress, err := l.store.Progress(ctx, lossRun, time.Now())
		return progress.Stored+progress.Failed >= ended, err
	})
	l.checkTexts()
}

// checkTexts fails if a stored text has changed or is gone.
func (l *lossy) checkTexts() {
	l.t.Helper()
	now := map[int]string{}
	for answer, err := range l.store.Answers(l.t.Context(), lossRun) {
		if err != nil {
			l.t.Fatal(err)
		}
		if answer.Result != nil {
			now[answer.Item] = fmt.Sprint(answer.Result.CreatedAt, answer.Result.Text)
		}
	}
	for item, text := range l.texts {
		if now[item] != text {
			l.t.Errorf("the answer of item %d was %q and is %q", item, text, now[item])
		}
	}
	l.texts = now
}

// end waits for the run to complete, and checks that everything is accounted for and nothing is
// left over.
func (l *lossy) end() {
	l.t.Helper()
	if code := l.publish.Wait(); code != 3 {
		l.t.Fatalf("producer publish ended with %d, want 3:\n%s", code, l.publish.Said())
	}
	l.checkTexts()
	var account struct{ Total, Stored, Dead, Lost, Outstanding, Leftover int }
	if err := json.Unmarshal(l.run("producer", "audit", "--run", lossRun, "--json"), &account); err != nil {
		l.t.Fatal(err)
	}
	if account.Total != lossRows || account.Dead != lossRows/10 || account.Stored != lossRows-account.Dead || account.Lost+account.Outstanding+account.Leftover != 0 {
		l.t.Errorf("the audit says %+v, want %d dead and the rest stored", account, lossRows/10)
	}
	for _, running := range append(l.others, l.sink) {
		if err := running.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
			l.t.Fatal(err)
		}
		if code := running.Wait(); code != 0 {
			l.t.Errorf("%s ended with %d:\n%s", running.Cmd.Args, code, running.Said())
		}
	}
}

// ---- The losses.

func (l *lossy) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// holding waits until a stream holds messages.
func (l *lossy) holding(name string, least uint64) {
	l.t.Helper()
	l.eventually(fmt.Sprintf("stream %s holds %d messages", name, least), func(ctx context.Context) (bool, error) {
		s, err := l.js.Stream(ctx, name)
		return err == nil && s.CachedInfo().State.Msgs >= least, err
	})
}

func (l *lossy) purge(name string) {
	s, err := l.js.Stream(l.t.Context(), name)
	l.must(err)
	l.must(s.Purge(l.t.Context()))
}

func (l *lossy) purgeWork() {
	l.holding(stream.WorkStream, 1)
	l.purge(stream.WorkStream)
}

func (l *lossy) deleteWork() {
	l.holding(stream.WorkStream, 1)
	l.must(l.js.DeleteStream(l.t.Context(), stream.WorkStream))
}

func (l *lossy) deleteDurable() {
	l.must(l.js.DeleteConsumer(l.t.Context(), stream.WorkStream, lossRun))
}

// loseEverything stops the server and starts another one with an empty folder.
func (l *lossy) loseEverything() {
	l.server.Shutdown()
	l.must(os.RemoveAll(l.config.Dir))
	var err error
	l.server, err = natsd.Start(l.config)
	l.must(err)
}

// purgeResults loses results that wait for a sink that is stopped.
func (l *lossy) purgeResults() {
	l.must(l.sink.Cmd.Process.Signal(syscall.SIGSTOP))
	l.holding(stream.ResultsStream, 3)
	l.purge(stream.ResultsStream)
	l.must(l.sink.Cmd.Process.Signal(syscall.SIGCONT))
}

func (l *lossy) deleteResults() {
	l.must(l.sink.Cmd.Process.Signal(syscall.SIGSTOP))
	l.holding(stream.ResultsStream, 3)
	l.must(l.js.DeleteStream(l.t.Context(), stream.ResultsStream))
	l.must(l.sink.Cmd.Process.Signal(syscall.SIGCONT))
}

func (l *lossy) deleteDead() {
	l.holding(stream.DeadStream, 3)
	l.must(l.js.DeleteStream(l.t.Context(), stream.DeadStream))
}

// deleteSinks loses the durables of the store's side, which makes them again by itself.
func (l *lossy) deleteSinks() {
	for name, on := range map[string]string{"sink": stream.ResultsStream, "mirror": stream.DeadStream} {
		l.eventually(name+" is there and deleted", func(ctx context.Context) (bool, error) { // what was lost before may not be made again yet
			err := l.js.DeleteConsumer(ctx, on, name)
			return err == nil, err
		})
	}
}

// deletePresence loses what no generation depends on.
func (l *lossy) deletePresence() {
	l.must(l.js.DeleteKeyValue(l.t.Context(), stream.Bucket))
	l.eventually("a consumer is seen again", func(context.Context) (bool, error) {
		var seen struct{ Consumers []pipeline.Presence }
		err := json.Unmarshal(l.run("producer", "status", "--run", lossRun, "--json"), &seen)
		return len(seen.Consumers) > 0, err
	})
}
