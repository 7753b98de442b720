package local_test

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/faultproxy"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/store/storetest"
)

// briefly is how long a command that a person waits for waits for its servers, with a margin for
// the start of many processes at once.
const briefly = 10*time.Second + 5*time.Second

// A command that a person waits for ends within ten seconds when a server is away, refuses, or
// falls silent in the middle of its calls, and says what to check.
func TestCommandsForPeopleWaitTenSecondsInAll(t *testing.T) {
	t.Parallel()
	p := build(t, storetest.MongoURI(t))
	nats := natsdtest.Start(t, natsd.Config{})
	p.env = append(p.env, "NATS_URL="+nats.URL())
	_, ollama := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Instant: true}, badRows())
	input := writeRows(t, 30, func(i int) string { return goodOrBad(i, i%10 == 0) })
	p.run("producer", "load", "--run", "r", "--input", input, "--field", "question", "--simulate", "--model", "sim", "--batch", "2")
	sink := p.start("sink", "serve", "--flush-every", "50ms")
	p.start("consumer", "--run", "r", "--ollama", ollama, "--slots", "4")
	p.start("producer", "publish", "--run", "r", "--follow", "--lease", "1s").Ends(3)
	sink.Stops()

	var all errgroup.Group
	all.SetLimit(12) // what is timed are the commands, and not how many this machine starts at once
	for _, line := range []string{
		"producer status", "producer status --run r", "producer dead list --run r", "producer dead show --run r", "producer audit --run r",
		"producer plan --run r", "producer pause --run r", "producer resume --run r", "sink show --run r",
		"sink export --run r --out FILE", "sink export --run r --with-failed --out FILE",
	} {
		b := &brief{programs: p, line: strings.Fields(strings.ReplaceAll(line, "FILE", filepath.Join(t.TempDir(), "out.jsonl"))), nats: address(t, nats.URL()), mongo: address(t, p.uri)}
		b.measure()
		for _, server := range []string{"NATS", "MongoDB"} {
			for _, fault := range []string{"refuses", "silent", "silent after a third", "silent after two thirds"} {
				if server == "NATS" && b.ofNATS == 0 {
					continue // it asks the store alone
				}
				all.Go(func() error {
					b.check(server, fault)
					return nil
				})
			}
		}
	}
	_ = all.Wait() // none returns an error
}

// address returns host and port of a server's address.
func address(t testing.TB, url string) string {
	t.Helper()
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// A brief is a command that a person waits for, and how many bytes it exchanges with its servers.
type brief struct {
	*programs
	line            []string
	nats, mongo     string // host and port of the servers
	ofNATS, ofMongo int64
}

// measure runs the command with servers that answer.
func (b *brief) measure() {
	b.t.Helper()
	nats, mongo := b.proxy(b.nats), b.proxy(b.mongo)
	defer nats.Close()
	defer mongo.Close()
	running := b.with(nats.Addr(), mongo.Addr())
	if code := running.Wait(); code != 0 && code != 3 {
		b.t.Fatalf("%s ended with %d: %s", b.line, code, running.Said())
	}
	b.ofNATS, b.ofMongo = nats.Carried(), mongo.Carried()
}

func (b *brief) proxy(target string) *faultproxy.Proxy {
	b.t.Helper()
	proxy, err := faultproxy.Start(target)
	if err != nil {
		b.t.Fatal(err)
	}
	return proxy
}

func (b *brief) with(nats, mongo string) *processtest.Process {
	p := *b.programs
	p.env = append(slices.Clone(p.env), "NATS_URL=nats://"+nats, "MONGODB_URI="+strings.Replace(p.uri, b.mongo, mongo, 1))
	return p.start(b.line[0], b.line[1:]...)
}

// check runs the command with a server that has a fault.
func (b *brief) check(server, fault string) {
	nats, mongo := b.proxy(b.nats), b.proxy(b.mongo)
	defer nats.Close()
	defer mongo.Close()
	faulty, bytes := nats, b.ofNATS
	if server == "MongoDB" {
		faulty, bytes = mongo, b.ofMongo
	}
	addresses := map[*faultproxy.Proxy]string{nats: nats.Addr(), mongo: mongo.Addr()}
	switch fault {
	case "refuses":
		addresses[faulty] = unused(b.t)
	case "silent":
		faulty.Stall()
	case "silent after a third":
		faulty.StallAfter(bytes / 3)
	default:
		faulty.StallAfter(2 * bytes / 3)
	}
	began := time.Now()
	running := b.with(addresses[nats], addresses[mongo])
	code, took := running.Wait(), time.Since(began)
	said := strings.TrimSpace(running.Said())
	b.t.Logf("%s, %s %s: %.1f s, %d", strings.Join(b.line[:min(3, len(b.line))], " "), server, fault, took.Seconds(), code)
	name := fmt.Sprintf("%s with %s %s", strings.Join(b.line, " "), server, fault)
	if took > briefly {
		b.t.Errorf("%s took %s: %s", name, took, said)
	}
	if code == 0 && server == "NATS" && slices.Contains(b.line, "status") { // it shows less, and says so
		if out := running.Out.String(); !strings.Contains(out, "NATS") {
			b.t.Errorf("%s does not say that NATS is away: %s", name, out)
		}
		return
	}
	if strings.HasPrefix(fault, "silent after") && (code == 0 || code == 3) {
		return // it came through between two pieces
	}
	advice := strings.Contains(said, "check") || strings.Contains(said, "is it running?") || strings.Contains(said, "is it starting?")
	if code != 1 || !advice || strings.Count(said, "\n") > 1 {
		b.t.Errorf("%s ended with %d: %s", name, code, cmp.Or(said, "no word"))
	}
}

// unused returns an address at which no server listens.
func unused(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
