package natsd

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// publish stores one message in a stream of its own, which it creates if it is not there.
func publish(t *testing.T, nc *nats.Conn) (stored uint64) {
	t.Helper()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish("s", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func TestServerWithoutAPortTakesConnectionsInThisProcess(t *testing.T) {
	s := start(t, Config{Dir: t.TempDir()})
	if s.URL() != "" {
		t.Errorf("it listens on %s", s.URL())
	}
	if seq := publish(t, connect(t, "", nats.InProcessServer(s))); seq != 1 {
		t.Errorf("sequence %d", seq)
	}
}

func TestServerKeepsItsMessagesOverARestartOnTheSamePort(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir, Port: -1, SyncAlways: true})
	url := s.URL()
	publish(t, connect(t, url))
	s.Shutdown()

	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	again := start(t, Config{Dir: dir, Port: n})
	if diff := cmp.Diff(url, again.URL()); diff != "" {
		t.Error(diff)
	}
	if seq := publish(t, connect(t, again.URL())); seq != 2 {
		t.Errorf("sequence %d after the restart", seq)
	}
}

func TestServerSaysWhyItDoesNotStart(t *testing.T) {
	busy := start(t, Config{Dir: t.TempDir(), Port: -1})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(busy.URL(), "nats://"))
	n, _ := net.LookupPort("tcp", port)

	used := t.TempDir()
	start(t, Config{Dir: used})

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"no folder":            {Config{}, "no folder is given"},
		"port in use":          {Config{Dir: t.TempDir(), Port: n}, "end what listens there"},
		"folder in use":        {Config{Dir: used}, "it is in use by another NATS server"},
		"folder is a file":     {Config{Dir: file}, "not a directory"},
		"file in the way":      {Config{Dir: filepath.Join(file, "x")}, "not a directory"},
		"address not our own":  {Config{Dir: t.TempDir(), Host: "192.0.2.1", Port: 4222}, "192.0.2.1:4222"},
		"address that is none": {Config{Dir: t.TempDir(), Host: "no such host", Port: -1}, "no such host"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Start(c.cfg)
			if err == nil {
				s.Shutdown()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not contain %q", err, c.want)
			}
			t.Log(err)
		})
	}
}

func TestFolderIsFreeAfterAFailedStart(t *testing.T) {
	dir := t.TempDir()
	if _, err := Start(Config{Dir: dir, Host: "192.0.2.1", Port: 4222}); err == nil {
		t.Fatal("it started on a foreign address")
	}
	start(t, Config{Dir: dir})
}

func TestServerPassesItsWarningsOn(t *testing.T) {
	lines := make(chan string, 100)
	log := &logger{warn: func(line string) { lines <- line }}
	log.Warnf("disk is at %d %%", 95)
	log.Noticef("not this")
	if diff := cmp.Diff("disk is at 95 %", <-lines); diff != "" || len(lines) > 0 {
		t.Error(diff, len(lines))
	}
}

// What a start after a kill mends is no warning; what goes wrong while the server runs is one.
func TestOnlyWhatMendsItselfIsLeftOut(t *testing.T) {
	for line, mends := range map[string]bool{
		"Filestore [GLEANER_WORK] Stream state outdated, last block has additional entries, will rebuild": true,
		"Filestore [GLEANER_WORK] Stream state detected prior state, could not locate msg block 3":        true,
		"Filestore [GLEANER_WORK] Recovering stream state from index errored: prior state file":           true,
		"Filestore [GLEANER_WORK] Stream state encountered internal inconsistency on write":               false,
		"Filestore [GLEANER_WORK] loadBlock error: no space left on device":                               false,
		"JetStream resource limits exceeded for server":                                                   false,
	} {
		if got := mendsItself(line); got != mends {
			t.Errorf("%q mends itself: %v, want %v", line, got, mends)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		s, err := Start(Config{Dir: dir, Port: -1})
		if err != nil {
			b.Fatal(err)
		}
		s.Shutdown()
	}
}
