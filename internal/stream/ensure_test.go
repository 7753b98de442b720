package stream

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

func TestEnsureCreatesTheStreamsSizedForAnUnlimitedAccount(t *testing.T) {
	server := serve(t)
	c := connect(t, Config{URL: server.URL(), Lease: 10 * time.Second})
	must(t, c.Ensure(t.Context()))
	type facts struct {
		Retention     string
		PerSubject    int64
		NewPerSubject bool
		MiB           int64
		Age           time.Duration
		Discard       string
	}
	got := map[string]facts{}
	js := admin(t, server.URL())
	for lister := js.ListStreams(t.Context()); ; {
		info, ok := <-lister.Info()
		if !ok {
			break
		}
		s := info.Config
		got[s.Name] = facts{s.Retention.String(), s.MaxMsgsPerSubject, s.DiscardNewPerSubject, s.MaxBytes >> 20, s.MaxAge, s.Discard.String()}
	}
	want := map[string]facts{
		WorkStream:                  {"WorkQueue", 1, true, 1022, 0, "DiscardNew"},
		ResultsStream:               {"WorkQueue", -1, false, 2044, 0, "DiscardNew"},
		DeadStream:                  {"Limits", 1, false, 1022, 0, "DiscardNew"},
		"KV_" + "gleaner_consumers": {"Limits", 1, false, 8, 30 * time.Second, "DiscardNew"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnsureMayBeRepeatedByManyAtOnce(t *testing.T) {
	server := serve(t)
	var group errgroup.Group
	for range 8 {
		c := connect(t, Config{URL: server.URL()})
		group.Go(func() error {
			for range 2 {
				if err := c.Ensure(context.Background()); err != nil {
					return err
				}
				if err := c.EnsureRun(context.Background(), testRun("r")); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, group.Wait())
}

func TestEnsureLeavesOtherSizesAlone(t *testing.T) {
	server := serve(t)
	js := admin(t, server.URL())
	small := connect(t, Config{URL: server.URL(), MaxBytes: 32 << 20})
	must(t, small.Ensure(t.Context()))
	must(t, connect(t, Config{URL: server.URL()}).Ensure(t.Context()))
	s, err := js.Stream(t.Context(), ResultsStream)
	must(t, err)
	if diff := cmp.Diff(int64(15.75*(1<<20)), s.CachedInfo().Config.MaxBytes); diff != "" {
		t.Error(diff)
	}
}

func TestEnsureNamesWhatDiffers(t *testing.T) {
	server := serve(t)
	_, err := admin(t, server.URL()).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: WorkStream, Subjects: []string{"gleaner.work.>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, AllowDirect: true,
	})
	must(t, err)
	err = connect(t, Config{URL: server.URL()}).Ensure(t.Context())
	wantError(t, err, pipeline.Fatal, WorkStream, "retention: Limits instead of WorkQueue", "discard new per subject: false instead of true")
}

func TestDurableOfARunHasTheRunsMetadataAndNoLimits(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL(), Lease: 20 * time.Second})
	handle, err := admin(t, server.URL()).Consumer(t.Context(), WorkStream, "r")
	must(t, err)
	is := handle.CachedInfo().Config
	if is.AckWait != 20*time.Second || is.MaxDeliver != -1 || is.BackOff != nil || is.MaxRequestBatch != 256 || is.MaxAckPending != -1 || is.MaxWaiting != 4096 || is.AckPolicy != jetstream.AckExplicitPolicy {
		t.Errorf("%+v", is)
	}
	runs, err := c.Runs(t.Context())
	must(t, err)
	if diff := cmp.Diff([]pipeline.RunInfo{{Run: "r", UID: testRun("r").UID, Model: "tiny", Generations: testRun("r").Generations, Lease: 20 * time.Second}}, runs); diff != "" {
		t.Error(diff)
	}
}

func TestEnsureRunChangesTheLeaseAndKeepsAPause(t *testing.T) {
	server := serve(t)
	ready(t, Config{URL: server.URL()})
	_, err := admin(t, server.URL()).PauseConsumer(t.Context(), WorkStream, "r", time.Now().Add(time.Hour))
	must(t, err)
	c := connect(t, Config{URL: server.URL(), Lease: 7 * time.Second})
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	info, err := c.RunInfo(t.Context(), "r")
	must(t, err)
	if diff := cmp.Diff(pipeline.RunInfo{Run: "r", UID: testRun("r").UID, Model: "tiny", Generations: testRun("r").Generations, Lease: 7 * time.Second, Paused: true}, info); diff != "" {
		t.Error(diff)
	}
}

func TestRunsAreListedOverManyPages(t *testing.T) {
	server := natsdtest.Start(t, withoutJetStream()) // the test answers for it, with pages of two
	nc := admin(t, server.URL()).Conn()
	names := []string{"a", "b", "c", "d", "e"}
	_, err := nc.Subscribe("$JS.API.CONSUMER.LIST."+WorkStream, func(m *nats.Msg) {
		var request struct{ Offset int }
		page := durablesPage{Total: len(names)}
		if json.Unmarshal(m.Data, &request) == nil {
			for _, name := range names[request.Offset:min(request.Offset+2, len(names))] {
				page.Consumers = append(page.Consumers, &jetstream.ConsumerInfo{Name: name})
			}
		}
		data, _ := json.Marshal(page)
		_ = m.Respond(data)
	})
	must(t, err)
	must(t, nc.Flush())
	runs, err := connect(t, Config{URL: server.URL()}).Runs(t.Context())
	must(t, err)
	var got []string
	for _, r := range runs {
		got = append(got, r.Run)
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalsOfAnAccountAreExplainedInNumbers(t *testing.T) {
	const MiB, GiB = 1 << 20, 1 << 30
	for name, c := range map[string]struct {
		limits natsdtest.Limits
		cfg    Config
		before func(testing.TB, *Conn)
		parts  []string
	}{
		"more than there is": {
			natsdtest.Limits{MaxStore: 100 * MiB, MaxBytesRequired: true}, Config{MaxBytes: 200 * MiB}, nil,
			[]string{"to hold 200 MiB together (--max-bytes)", "the NATS account allows 100 MiB", "larger account"},
		},
		"stream too large (10122)": {
			natsdtest.Limits{MaxStreamBytes: 10 * MiB}, Config{MaxBytes: GiB}, nil,
			[]string{"10122", "allows 10 MiB in one stream", "allows more"},
		},
		"too many streams (10027)": {
			natsdtest.Limits{MaxStreams: 2}, Config{}, nil,
			[]string{"10027", "allows 2 streams", "needs 4"},
		},
		"too many durables (10026)": {
			natsdtest.Limits{MaxConsumers: 1}, Config{}, func(t testing.TB, c *Conn) {
				must(t, c.Ensure(t.Context()))
				must(t, c.EnsureRun(t.Context(), testRun("one")))
			},
			[]string{"10026", "allows 1 JetStream consumers on one stream", "delete finished runs"},
		},
		"no replicas (10120)": {
			natsdtest.Limits{}, Config{Replicas: 3}, nil,
			[]string{"10120", "no storage with 3 replicas"},
		},
		"nothing left": {
			natsdtest.Limits{MaxStore: 20 * MiB}, Config{}, func(t testing.TB, c *Conn) {
				_, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "other", MaxBytes: 10 * MiB})
				must(t, err)
			},
			[]string{"allows 20 MiB", "reserve 10 MiB", "at least 16 MiB"},
		},
		"too small by choice": {natsdtest.Limits{}, Config{MaxBytes: MiB}, nil, []string{"may hold 1.0 MiB", "at least 16 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			server, creds := natsdtest.StartAccount(t, c.limits)
			c.cfg.URL, c.cfg.Creds = server.URL(), creds
			conn := connect(t, c.cfg)
			if c.before != nil {
				c.before(t, conn)
			}
			err := conn.Ensure(t.Context())
			if err == nil {
				err = conn.EnsureRun(t.Context(), testRun("two"))
			}
			wantError(t, err, pipeline.Fatal, c.parts...)
		})
	}
}

// The default is too much for a server with a small disk: the way out is a smaller size.
func TestAServerWithLittleRoomIsExplained(t *testing.T) {
	server := natsdtest.Start(t, natsd.Config{Adjust: func(o *server.Options) { o.JetStreamMaxStore = 100 << 20 }})
	wantError(t, connect(t, Config{URL: server.URL()}).Ensure(t.Context()), pipeline.Fatal, "10047", "no limit of its own", "choose smaller streams (--max-bytes)")
	must(t, connect(t, Config{URL: server.URL(), MaxBytes: 64 << 20}).Ensure(t.Context()))
}

func TestStreamsThatAreThereAreEnlargedAndNeverMadeSmaller(t *testing.T) {
	server := serve(t)
	sizes := func() (all []int64) {
		for _, name := range []string{WorkStream, ResultsStream, DeadStream, bucketStream} {
			s, err := admin(t, server.URL()).Stream(t.Context(), name)
			must(t, err)
			all = append(all, s.CachedInfo().Config.MaxBytes>>10)
		}
		return all
	}
	for _, c := range []struct {
		max     int64
		enlarge bool
		want    []int64 // KiB
	}{
		{32 << 20, true, []int64{8064, 16128, 8064, 512}},
		{64 << 20, false, []int64{8064, 16128, 8064, 512}},
		{64 << 20, true, []int64{16128, 32256, 16128, 1024}},
		{16 << 20, true, []int64{16128, 32256, 16128, 1024}},
	} {
		must(t, connect(t, Config{URL: server.URL(), MaxBytes: c.max, Enlarge: c.enlarge}).Ensure(t.Context()))
		if diff := cmp.Diff(c.want, sizes()); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c, diff)
		}
	}
}

func TestOtherRefusalsAreExplainedToo(t *testing.T) {
	server, creds := natsdtest.StartAccount(t, natsdtest.Limits{MaxStore: 1 << 30, MaxBytesRequired: true})
	c := connect(t, Config{URL: server.URL(), Creds: creds})
	account, err := c.provisioner.account(t.Context(), 0)
	must(t, err)
	_, err = c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s"})
	wantError(t, explainRefusal(err, 0, account), pipeline.Fatal, "10113", "wants a size for each stream")
	_, err = c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Storage: jetstream.MemoryStorage, MaxBytes: 1 << 20})
	wantError(t, explainRefusal(err, 0, account), pipeline.Fatal, "10028", "memory")
}

func TestStreamsAreScaledToTheAccount(t *testing.T) {
	const MiB = 1 << 20
	server, creds := natsdtest.StartAccount(t, natsdtest.Limits{MaxStore: 128 * MiB, MaxStreamBytes: 40 * MiB, MaxStreams: 5, MaxBytesRequired: true})
	c := connect(t, Config{URL: server.URL(), Creds: creds})
	_, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "other", MaxBytes: 28 * MiB})
	must(t, err)
	must(t, c.Ensure(t.Context()))
	must(t, c.Ensure(t.Context()))
	got := map[string]int64{}
	for _, name := range []string{WorkStream, ResultsStream, DeadStream} {
		s, err := c.js.Stream(t.Context(), name)
		must(t, err)
		got[name] = s.CachedInfo().Config.MaxBytes
	}
	want := map[string]int64{WorkStream: 25804800, ResultsStream: 40 * MiB, DeadStream: 25804800}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestServerWithoutJetStreamIsNamed(t *testing.T) {
	t.Parallel()
	server := natsdtest.Start(t, withoutJetStream())
	err := connect(t, Config{URL: server.URL()}).Ensure(t.Context())
	wantError(t, err, pipeline.Fatal, "-js")
}

func TestMissingPermissionsAreFatalAtOnce(t *testing.T) {
	server := natsdtest.Start(t, usersConfig(natsdtest.User("weak", "pw", []string{"nothing"}, []string{"_INBOX_weak.>"})))
	c := connect(t, Config{URL: withUser(server.URL(), "weak", "pw")})
	wantError(t, c.Ensure(t.Context()), pipeline.Fatal, "$JS.API.STREAM.INFO", "permission")
	wantError(t, c.Publish(t.Context(), testWork("r", 0)), pipeline.Fatal, "gleaner.work.r.0000000")
	_, err := c.Work("r").Next(t.Context())
	wantError(t, err, pipeline.Fatal, "$JS.API.CONSUMER.INFO.GLEANER_WORK.r")
	_, err = c.Results(t.Context(), 1, time.Hour)
	wantError(t, err, pipeline.Fatal, "$JS.API.CONSUMER.INFO.GLEANER_RESULTS.sink")
}

func TestForeignInboxIsFatal(t *testing.T) {
	server := natsdtest.Start(t, usersConfig(natsdtest.User("weak", "pw", []string{">"}, []string{"_INBOX_other.>"})))
	c := connect(t, Config{URL: withUser(server.URL(), "weak", "pw")})
	wantError(t, c.Ensure(t.Context()), pipeline.Fatal, "_INBOX_weak")
}

func TestOnlyWhoAsksForALeaseChangesIt(t *testing.T) {
	server := serve(t)
	run := testRun("r")
	leases := func(c *Conn) []time.Duration {
		t.Helper()
		must(t, c.Ensure(t.Context()))
		must(t, c.EnsureRun(t.Context(), run))
		work, err := c.RunInfo(t.Context(), run.Name)
		must(t, err)
		results, err := c.durableInfo(t.Context(), ResultsStream, sinkDurable)
		must(t, err)
		return []time.Duration{work.Lease, results.Config.AckWait}
	}
	anyone := connect(t, Config{URL: server.URL()})
	some := connect(t, Config{URL: server.URL(), Lease: 2 * time.Second, SinkLease: 3 * time.Second})
	for _, c := range []struct {
		conn *Conn
		want []time.Duration
	}{
		{anyone, []time.Duration{pipeline.DefaultLease, DefaultSinkLease}},
		{some, []time.Duration{2 * time.Second, 3 * time.Second}},
		{anyone, []time.Duration{2 * time.Second, 3 * time.Second}},
	} {
		if diff := cmp.Diff(c.want, leases(c.conn)); diff != "" {
			t.Error(diff)
		}
	}
}
