package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"

	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
)

// A consumer that is broken or lies, with a consumer's credentials, neither changes what is
// stored nor keeps what honest ones send from being stored. What it sends is refused and counted,
// and what it leaves can be removed.
func TestALyingConsumerChangesNothingAndStopsNoOne(t *testing.T) {
	const items, batch = 400, 4
	onEachStore(t, func(p *parts) {
		operator, worker := p.as("producer"), p.as("consumer")
		p.startSink()
		p.load(items, batch)
		liar := newLiar(p)
		liar.strange() // the first answers that the sink gets
		p.waitFor("begun", func(progress pipeline.Progress) bool { return progress.Stored >= len(liar.mine) })
		stop := p.startConsumer(worker)
		half, err := p.store.Batches(p.t.Context(), p.run.Name, pipeline.Planned, 0, items/batch/2)
		p.must(err)
		p.publishSome(operator, half)
		p.waitFor("half done", func(progress pipeline.Progress) bool { return progress.Batches[pipeline.Done] >= len(half) })
		before := p.texts()

		refused := liar.results()
		ignored := liar.letters()
		liar.presence()
		p.publish(operator)
		p.waitFor("done", func(progress pipeline.Progress) bool { return progress.Stored == items })
		eventually(p.t, func() bool { return p.counted("gleaner_results_rejected_total") >= float64(refused) },
			func() string {
				return fmt.Sprintf("%g results are refused, want %d", p.counted("gleaner_results_rejected_total"), refused)
			})
		eventually(p.t, func() bool { return p.counted("gleaner_dead_letters_ignored_total") >= float64(ignored) },
			func() string {
				return fmt.Sprintf("%g dead letters are ignored, want %d", p.counted("gleaner_dead_letters_ignored_total"), ignored)
			})
		after := p.texts()
		for item, text := range before {
			if after[item] != text {
				p.t.Errorf("the text of item %d was %q and is %.100q", item, text, after[item])
			}
		}
		p.checkTexts(liar.mine)
		for _, orphaned := range []bool{false, true} {
			_, err = p.engine(p.store, operator).Drop(p.t.Context(), reconcile.Filter{Orphaned: orphaned}, reconcile.DropOptions{})
			p.must(err)
		}
		p.checkStreams(operator)
		if _, err := operator.Consumers(p.t.Context()); err != nil {
			p.t.Error(err)
		}
		stop()
		account, err := p.engine(p.store, operator).Audit(p.t.Context(), p.run.Name)
		p.must(err)
		if !account.Complete() || account.Stored != items {
			p.t.Errorf("the audit says %+v", account)
		}
	})
}

// publishSome puts some batches on the queue.
func (p *parts) publishSome(operator reconcile.Streams, batches []pipeline.Batch) {
	p.t.Helper()
	p.must(operator.EnsureRun(p.t.Context(), p.run))
	for _, work := range p.works(batches) {
		p.must(operator.Publish(p.t.Context(), work))
		p.must(p.store.MarkQueued(p.t.Context(), p.run.Name, []int{work.Batch}, time.Now().UTC()))
	}
}

// counted returns what the sink has counted, all labels together.
func (p *parts) counted(name string) (sum float64) {
	p.t.Helper()
	families, err := p.metrics.Gather()
	p.must(err)
	for _, family := range families {
		if family.GetName() == name {
			for _, metric := range family.GetMetric() {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A liar has a consumer's credentials and sends what no consumer sends.
type liar struct {
	*parts
	nc   *nats.Conn
	zstd *zstd.Encoder
	mine map[int]bool // items that it answered first
}

func newLiar(p *parts) *liar {
	nc, err := nats.Connect(p.url("consumer"), nats.CustomInboxPrefix("_INBOX_consumer"))
	p.must(err)
	p.t.Cleanup(nc.Close)
	enc, err := zstd.NewWriter(nil)
	p.must(err)
	return &liar{parts: p, nc: nc, zstd: enc, mine: map[int]bool{}}
}

// send publishes a message as it is, and returns when it is on its stream, or refused by the
// server.
func (l *liar) send(subject string, header nats.Header, data []byte) {
	l.t.Helper()
	if header == nil {
		header = nats.Header{}
	}
	_, err := l.nc.RequestMsg(&nats.Msg{Subject: subject, Header: header, Data: data}, 10*time.Second)
	l.must(err)
}

func (l *liar) json(v any) []byte {
	l.t.Helper()
	data, err := pipeline.Encode(v)
	l.must(err)
	return data
}

func (l *liar) packed(data []byte) (nats.Header, []byte) {
	return nats.Header{"Content-Encoding": {"zstd"}}, l.zstd.EncodeAll(data, nil)
}

// answer is a message that could be true, for the generations of a batch with these indexes. The
// liar was handed every batch once, so it has their tokens.
func (l *liar) answer(batch int, indexes ...int) pipeline.Results {
	r := pipeline.Results{Run: l.run.Name, UID: l.run.UID, Batch: batch, Round: 1, Token: l.run.Key.Token(l.run.UID, batch, 1), Consumer: "01LIAR", GPU: "none"}
	for _, i := range indexes {
		r.Results = append(r.Results, pipeline.Result{Index: i, Item: batch*l.run.Spec.Batch + i, Text: "a lie", Finish: "stop", CreatedAt: time.Now().UTC()})
	}
	return r
}

func (l *liar) letter(batch int, indexes ...int) pipeline.DeadLetter {
	d := pipeline.DeadLetter{Run: l.run.Name, UID: l.run.UID, Batch: batch, Round: 1, Token: l.run.Key.Token(l.run.UID, batch, 1), Class: pipeline.Poison, Message: "a lie", Consumer: "01LIAR", FailedAt: time.Now().UTC()}
	for _, i := range indexes {
		d.Failures = append(d.Failures, pipeline.GenerationFailure{
			Generation: pipeline.Generation{Index: i, Item: batch*l.run.Spec.Batch + i, Messages: pipeline.User("a lie")}, Class: pipeline.Poison, Message: "a lie",
		})
	}
	return d
}

func (l *liar) subject(kind string, batch int) string {
	return fmt.Sprintf("gleaner.%s.%s.%07d", kind, l.run.Name, batch)
}

// strange sends answers that cannot be told from true ones, with everything that a store might
// mishandle.
func (l *liar) strange() {
	l.t.Helper()
	last := l.run.Batches - 1
	for i, change := range []func(r *pipeline.Results){
		func(r *pipeline.Results) { r.Results[0].Text = "nothing \x00 in between" },
		func(r *pipeline.Results) { r.Consumer, r.GPU = "\x00", "$\x00.\x1b[2J" },
		func(r *pipeline.Results) { r.Results[0].CreatedAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) },
		func(r *pipeline.Results) { r.Results[0].CreatedAt = time.Time{} },
		func(r *pipeline.Results) {
			r.Results[0].PromptTokens, r.Results[0].OutputTokens, r.Results[0].DurationMS, r.Results[0].Seed = math.MaxInt32, math.MaxInt32, math.MaxInt32, math.MaxInt32
		},
		func(r *pipeline.Results) { r.Results[0].Text = "\x1b[2J" },
		func(r *pipeline.Results) { r.Results[0].Text = strings.Repeat("ä", pipeline.MaxTextBytes/2) },
	} {
		r := l.answer(last-i/4, i%4)
		change(&r)
		l.mine[r.Results[0].Item] = true
		header, data := l.packed(l.json(r))
		l.send(l.subject("result", r.Batch)+fmt.Sprintf(".%d", i), header, data)
	}
}

// results sends everything that is no result, and returns how many the sink has to refuse.
func (l *liar) results() (refused int) {
	l.t.Helper()
	const open, done = 60, 0 // batches: not answered yet, answered
	wrong := func(subject string, header nats.Header, data []byte) {
		l.t.Helper()
		l.send(subject, header, data)
		refused++
	}
	at := l.subject("result", open) + ".0"
	for _, garbage := range [][]byte{nil, {0}, []byte("{"), []byte("null"), []byte(`"text"`), bytes.Repeat([]byte("["), 100_000), []byte("\xff\xfe")} {
		wrong(at, nil, garbage)
		wrong(at, nats.Header{"Content-Encoding": {"zstd"}}, garbage)
	}
	wrong(at, nats.Header{"Content-Encoding": {"br"}}, l.json(l.answer(open, 0)))
	// What a server sends to a client that pulls.
	wrong(at, nats.Header{"Status": {"404"}, "Description": {"No Messages"}}, nil)
	wrong(at, nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}, nil)
	wrong(at, nats.Header{"Status": {"100"}}, nil)
	for _, bomb := range l.bombs() {
		wrong(at, nats.Header{"Content-Encoding": {"zstd"}}, bomb)
	}
	for _, change := range []func(r *pipeline.Results){
		func(r *pipeline.Results) { r.Run = "unknown" },
		func(r *pipeline.Results) { r.UID = "older" },
		func(r *pipeline.Results) { r.Batch = 9_999_999 },
		func(r *pipeline.Results) { r.Batch = done },
		func(r *pipeline.Results) { r.Results[0].Item = 1 },
		func(r *pipeline.Results) { r.Results[0].Item = -1 },
		func(r *pipeline.Results) { r.Results[0].Sample = 1 },
		func(r *pipeline.Results) { r.Results[0].Index = 4; r.Results[0].Item = open*4 + 4 },
		func(r *pipeline.Results) { r.Results[0].Index = math.MaxInt64 },
		func(r *pipeline.Results) { r.Results = append(r.Results, r.Results[0]) },
		func(r *pipeline.Results) { r.Round = -1 },
		func(r *pipeline.Results) { r.Round = math.MaxInt64 },
		func(r *pipeline.Results) { r.Round, r.Token = 2, l.run.Key.Token(r.UID, r.Batch, 2) },
		func(r *pipeline.Results) { r.Token = nil },
		func(r *pipeline.Results) { r.Token[0]++ },
		func(r *pipeline.Results) { r.Results[0].Text = strings.Repeat("x", pipeline.MaxTextBytes+1) },
		func(r *pipeline.Results) { r.Results[0].Text = " \n" },
		func(r *pipeline.Results) { r.Results[0].Finish = "length" },
		func(r *pipeline.Results) { r.Results[0].OutputTokens = -1 },
		func(r *pipeline.Results) { r.Results[0].OutputTokens = math.MaxInt64 },
		func(r *pipeline.Results) { r.Results[0].ThinkingTokens = r.Results[0].OutputTokens + 1 },
		func(r *pipeline.Results) { r.Results[0].DurationMS = math.MinInt64 },
		func(r *pipeline.Results) { r.GPU = strings.Repeat("x", 10_000) },
	} {
		r := l.answer(open, 0)
		change(&r)
		subject := fmt.Sprintf("gleaner.result.%s.%07d.0", r.Run, r.Batch)
		if r.Batch == done {
			subject = at // which names another batch
		}
		wrong(subject, nil, l.json(r))
	}
	for _, subject := range []string{"gleaner.result.x", "gleaner.result." + l.run.Name, l.subject("result", 1), "gleaner.result.a.b.c.d.e.f", l.subject("result", done) + ".x.y"} {
		wrong(subject, nil, l.json(l.answer(open, 0)))
	}
	// A stored answer once more, with another text and in another round, so that it claims to be
	// the first.
	for round := range 3 {
		again := l.answer(done, 0, 1, 2, 3)
		again.Round = 1 + round*1000
		l.send(l.subject("result", done)+".0", nats.Header{"Nats-Rollup": {"all"}}, l.json(again)) // refused by the server
		l.send(l.subject("result", done)+".0", nil, l.json(again))
	}
	for i := range 3000 {
		l.must(l.nc.Publish(fmt.Sprintf("gleaner.result.%s.%07d.%d", l.run.Name, i, i), []byte("rubbish")))
	}
	l.must(l.nc.Flush())
	return refused + 3000
}

// bombs returns messages that are small and unpack to a lot: many zeros, a long list of empty
// values, texts of the greatest length.
func (l *liar) bombs() [][]byte {
	l.t.Helper()
	var zeros bytes.Buffer
	w, err := zstd.NewWriter(&zeros, zstd.WithEncoderLevel(zstd.SpeedFastest))
	l.must(err)
	_, err = io.CopyN(w, endless{}, 256<<20)
	l.must(err)
	l.must(w.Close())
	head := fmt.Sprintf(`{"run":%q,"uid":%q,"batch":60,"round":1,"results":[`, l.run.Name, l.run.UID)
	list := func(element string) []byte {
		return []byte(head + strings.Repeat(element+",", (3<<20)/(len(element)+1)) + element + "]}")
	}
	_, nulls := l.packed(list("null"))
	_, objects := l.packed(list("{}"))
	_, large := l.packed(list(`{"finish":"stop","text":"` + strings.Repeat("x", 512<<10) + `"}`))
	for _, bomb := range [][]byte{zeros.Bytes(), nulls, objects, large} {
		if len(bomb) > 100_000 {
			l.t.Errorf("a bomb has %d bytes", len(bomb))
		}
	}
	return slices.Concat([][]byte{zeros.Bytes(), nulls, objects}, slices.Repeat([][]byte{large}, 20))
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// letters sends dead letters that are not true, and returns how many the sink has to ignore. Of
// those on one subject it may only see the last.
func (l *liar) letters() (ignored int) {
	l.t.Helper()
	ignore := func(subject string, header nats.Header, data []byte) {
		l.t.Helper()
		l.send(subject, header, data)
		ignored++
	}
	const open = 61
	at := func() string { return l.subject("dead", open+ignored%30) }
	for _, d := range []pipeline.DeadLetter{l.letter(0, 0, 1, 2, 3), l.letter(1, 2)} { // of batches that are done
		ignore(l.subject("dead", d.Batch), nil, l.json(d))
	}
	for _, garbage := range [][]byte{nil, []byte("{"), []byte("null"), []byte("\xff")} {
		ignore(at(), nil, garbage)
	}
	for _, bomb := range l.bombs()[:3] {
		ignore(at(), nats.Header{"Content-Encoding": {"zstd"}}, bomb)
	}
	for _, change := range []func(d *pipeline.DeadLetter){
		func(d *pipeline.DeadLetter) { d.Round = 99 },
		func(d *pipeline.DeadLetter) { d.Round = -1 },
		func(d *pipeline.DeadLetter) { d.Token = nil },
		func(d *pipeline.DeadLetter) { d.UID = "older" },
		func(d *pipeline.DeadLetter) { d.Failures[0].Index = 4; d.Failures[0].Item = d.Batch*4 + 4 },
		func(d *pipeline.DeadLetter) { d.Failures[0].Index = math.MaxInt64 },
		func(d *pipeline.DeadLetter) { d.Failures[0].Item = 0 },
		func(d *pipeline.DeadLetter) { d.Failures = nil },
		func(d *pipeline.DeadLetter) { d.Message = strings.Repeat("x", 1<<20-10_000) },
		func(d *pipeline.DeadLetter) { d.Failures[0].Message = strings.Repeat("\x1b]0;", 100_000) },
	} {
		d := l.letter(open+ignored%30, 0)
		change(&d)
		ignore(at(), nil, l.json(d))
	}
	for _, subject := range []string{"gleaner.dead.x.y", "gleaner.dead." + l.run.Name + ".y", "gleaner.dead.unknown.0000001", "gleaner.dead." + l.run.Name + ".-1"} {
		ignore(subject, nil, l.json(l.letter(open, 0)))
	}
	for i := range 500 {
		ignored++
		l.must(l.nc.Publish(l.subject("dead", 1_000_000+i), l.json(l.letter(1_000_000+i, 0))))
	}
	l.must(l.nc.Flush())
	return ignored
}

// presence reports consumers that are not there.
func (l *liar) presence() {
	l.t.Helper()
	many, err := json.Marshal(pipeline.Presence{ID: "01MANY", Run: l.run.Name, GPUs: slices.Repeat([]pipeline.GPUStatus{{Name: "\x00\xff", Slots: -1, Busy: math.MaxInt64, TokensPerSecond: math.MaxFloat64}}, 1000)})
	l.must(err)
	for key, value := range map[string][]byte{
		"01GARBAGE": []byte("{"), "01OTHER": []byte(`{"id":"01HONEST"}`), "01MANY": many, "01HONEST": []byte(`{"id":"01HONEST","gpus":null,"seen":"9999-12-31T23:59:59Z"}`),
	} {
		l.send("$KV.gleaner_consumers."+key, nil, value)
	}
}
