package local_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

// says runs a program that ends with this code, and returns all that it printed.
func (p *programs) says(code int, name string, args ...string) string {
	p.t.Helper()
	process := p.start(name, args...)
	return process.Ends(code) + process.Said()
}

// streamsOf returns the names of all streams of a server, buckets included.
func streamsOf(t testing.TB, url string) (names []string) {
	t.Helper()
	for _, info := range listStreams(t, url) {
		names = append(names, info.Config.Name)
	}
	return names
}

// listStreams returns all streams of a server.
func listStreams(t testing.TB, url string) (all []*jetstream.StreamInfo) {
	t.Helper()
	nc, err := nats.Connect(url)
	must(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		all = append(all, info)
	}
	must(t, list.Err())
	return all
}

// Of all commands only load, run and publish make anything.
func TestReadersMakeNothing(t *testing.T) {
	t.Parallel()
	walk := func(t *testing.T, uri string, check func()) {
		p := build(t, uri)
		url := natsdtest.Start(t, natsd.Config{Port: -1}).URL()
		out := filepath.Join(t.TempDir(), "out.jsonl")
		p.env = append(p.env, "NATS_URL="+url)
		for _, line := range []string{
			"status", "status --run r", "audit --run r", "plan --run r", "pause --run r", "resume --run r", "cancel --run r --yes", "pin --run r any", "delete --run r --yes",
			"dead list", "dead show", "dead redrive", "dead drop --run r --yes", "dead give-up --run r --yes", "publish --run r", "publish --run r --follow", "publish --run r --take-over --yes",
		} {
			if said := p.says(1, "producer", strings.Fields(line)...); !strings.Contains(said, "there is no store") {
				t.Errorf("producer %s: %s", line, said)
			}
		}
		for _, line := range []string{"show --run r", "export --run r --out " + out} {
			if said := p.says(1, "sink", strings.Fields(line)...); !strings.Contains(said, "there is no store") {
				t.Errorf("sink %s: %s", line, said)
			}
		}
		p.run("producer", "load", "--dry-run", "--run", "r", "--input", rows(t), "--field", "question", "--model", "m")
		if names := streamsOf(t, url); len(names) > 0 {
			t.Errorf("there are the streams %v", names)
		}
		if _, err := os.Stat(out); !os.IsNotExist(err) {
			t.Errorf("the output: %v", err)
		}
		check()

		// With a store but without streams, nothing but publish makes these.
		p.run("producer", "load", "--run", "r", "--input", rows(t), "--field", "question", "--model", "m")
		for _, line := range []string{"status", "status --run r", "audit --run r", "plan --run r", "pin --run r any", "dead list", "dead show", "dead redrive", "dead drop --run r --yes"} {
			p.start("producer", strings.Fields(line)...).Wait()
		}
		for _, line := range []string{"show --run r", "export --run r --with-failed --out " + out} {
			p.start("sink", strings.Fields(line)...).Wait()
		}
		sink := p.start("sink", "serve")
		sink.WaitFor("waiting for the streams")
		if names := streamsOf(t, url); len(names) > 0 {
			t.Errorf("there are the streams %v", names)
		}
		sink.Stops()
		p.run("producer", "publish", "--run", "r")
		if names := streamsOf(t, url); len(names) != 4 {
			t.Errorf("there are the streams %v", names)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		folder := t.TempDir()
		walk(t, "sqlite:"+filepath.Join(folder, "new", "g.db"), func() {
			if files, err := os.ReadDir(folder); err != nil || len(files) > 0 {
				t.Errorf("there are %v, %v", files, err)
			}
		})
	})
	t.Run("mongodb", func(t *testing.T) {
		uri := storetest.MongoURI(t)
		walk(t, uri, func() {
			s, err := store.Open(t.Context(), uri)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if empty, err := store.IsEmpty(t.Context(), s); !empty || err != nil {
				t.Errorf("the database is not empty: %v", err)
			}
		})
	})
}

// loaded returns programs with a store of their own in which there is a run.
func loaded(t *testing.T, url, run string) *programs {
	p := build(t, "sqlite:"+filepath.Join(t.TempDir(), run+".db"))
	p.env = append(p.env, "NATS_URL="+url)
	p.run("producer", "load", "--run", run, "--simulate", "--input", rows(t), "--field", "question", "--model", "sim")
	return p
}

func simulated(t *testing.T) string {
	server := ollamasim.New(ollamasim.Config{Slots: 8, Models: []string{"sim"}, Speed: 50, ChunkEvery: 5 * time.Millisecond})
	url, err := server.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return url
}

// The sink of another store refuses within a second and touches nothing, also after the server came
// back with an empty disk, and the run that was disturbed is stored in its first or second round.
func TestASinkOfAnotherStoreRefusesAndTouchesNothing(t *testing.T) {
	t.Parallel()
	nats := natsd.Config{Dir: t.TempDir(), Port: -1}
	server, err := natsd.Start(nats)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { server.Shutdown() }()
	anna, ben := loaded(t, server.URL(), "words"), loaded(t, server.URL(), "words")
	stray := func() {
		t.Helper()
		began := time.Now()
		said := ben.says(1, "sink", "serve")
		for _, name := range []string{strings.TrimPrefix(anna.uri, "sqlite:"), strings.TrimPrefix(ben.uri, "sqlite:"), "--take-over"} {
			if !strings.Contains(said, name) {
				t.Errorf("%s is missing in: %s", name, said)
			}
		}
		if took := time.Since(began); took > 3*time.Second { // a second, on a busy machine
			t.Errorf("it took %s", took)
		} else {
			t.Logf("refused after %s", took)
		}
	}
	publish := anna.start("producer", "publish", "--run", "words", "--follow", "--lease", "1s")
	eventually(t, func() bool { return len(streamsOf(t, server.URL())) == 4 }, func() string { return "no streams" })
	stray()
	for _, line := range []string{"publish --run words", "pause --run words", "cancel --run words --yes", "delete --run words --yes", "dead drop --run words --yes", "dead give-up --run words --yes"} {
		if said := ben.says(1, "producer", strings.Fields(line)...); !strings.Contains(said, "another store") {
			t.Errorf("producer %s: %s", line, said)
		}
	}
	nats.Port, nats.Dir = port(t, server.URL()), t.TempDir()
	server.Shutdown()
	if server, err = natsd.Start(nats); err != nil {
		t.Fatal(err)
	}
	waiting := ben.start("sink", "serve") // it may be there before the streams are
	if said := waiting.Ends(1) + waiting.Said(); !strings.Contains(said, "another store") {
		t.Error(said)
	}
	stray()
	sink := anna.start("sink", "serve", "--flush-every", "50ms")
	anna.start("consumer", "--run", "words", "--ollama", simulated(t), "--slots", "8")
	if code := publish.Wait(); code != 0 {
		t.Errorf("publish ended with %d: %s", code, publish.Said())
	}
	sink.Stops()
}

func TestTwoRunsOfOneStoreDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	p := withNATS(t)
	ollama := simulated(t)
	for _, run := range []string{"first", "second"} {
		p.run("producer", "load", "--run", run, "--simulate", "--input", rows(t), "--field", "question", "--model", "sim")
	}
	sink := p.start("sink", "serve", "--flush-every", "50ms")
	first := p.start("producer", "publish", "--run", "first", "--follow", "--lease", "2s") // nothing takes its work yet
	second := p.start("producer", "publish", "--run", "second", "--follow", "--lease", "2s")
	p.start("consumer", "--run", "second", "--ollama", ollama, "--slots", "8")
	if code := second.Wait(); code != 0 {
		t.Fatalf("the second run: %d, %s", code, second.Said())
	}
	p.start("consumer", "--run", "first", "--ollama", ollama, "--slots", "8")
	if code := first.Wait(); code != 0 {
		t.Fatalf("the first run: %d, %s", code, first.Said())
	}
	sink.Stops()
}

func TestAStoreTakesTheStreamsOfOneThatIsGivenUp(t *testing.T) {
	t.Parallel()
	url := natsdtest.Start(t, natsd.Config{Port: -1}).URL()
	anna, ben := loaded(t, url, "old"), loaded(t, url, "new")
	anna.run("producer", "publish", "--run", "old", "--lease", "1s")

	said := ben.says(0, "producer", "publish", "--run", "new", "--take-over")
	for _, want := range []string{"run old is removed", "100 batches waiting", "nothing was changed"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing in: %s", want, said)
		}
	}
	consumer := anna.start("consumer", "--run", "old", "--ollama", simulated(t), "--slots", "1")
	eventually(t, func() bool {
		p := ben.start("producer", "publish", "--run", "new", "--take-over")
		return p.Wait() == 1 && strings.Contains(p.Said(), "are in use")
	}, func() string { return "the consumer does not count" })
	consumer.Stops()
	eventually(t, func() bool { // its presence lasts three leases
		p := ben.start("producer", "publish", "--run", "new", "--take-over", "--yes")
		return p.Wait() == 0 && strings.Contains(p.Said(), "this store's now")
	}, func() string { return "it is not taken over" })
	if said := anna.says(1, "producer", "publish", "--run", "old"); !strings.Contains(said, "another store") {
		t.Error(said)
	}
	if said := string(ben.run("producer", "status", "--run", "new")); !strings.Contains(said, "100") {
		t.Error(said)
	}
}
