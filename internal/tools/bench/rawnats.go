package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/natsd"
	"gleaner/internal/outage"
)

const (
	rawMessageBytes = 1300 // what a batch of eight questions, or of eight answers, has as it travels
	rawAtOnce       = 16   // publishes that wait for their confirmation at once, as in the producer
	rawAsync        = 256  // the same of asynchronous publishes
	rawFetch        = 256  // messages in one pull
)

// rawNATS measures three things on streams with the settings of GLEANER_WORK: publishing with a
// confirmation each, publishing asynchronously, and fetching with acks.
func rawNATS(ctx context.Context, dir string, always bool, long time.Duration) (parts []PartRate, err error) {
	server, err := natsd.Start(natsd.Config{Dir: dir, Port: -1, SyncAlways: always})
	if err != nil {
		return nil, err
	}
	defer server.Shutdown()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(rawAsync))
	if err != nil {
		return nil, err
	}
	for i, m := range []struct {
		what string
		f    func(context.Context, jetstream.JetStream, jetstream.Stream, time.Duration) (float64, error)
	}{
		{fmt.Sprintf("publish, %d at once", rawAtOnce), publishSync},
		{fmt.Sprintf("publish, up to %d on the way", rawAsync), publishAsync},
		{fmt.Sprintf("fetch %d and ack each", rawFetch), fetchAndAck},
	} {
		name := fmt.Sprint("RAW", i) // the server may still be removing the files of the one before
		var stream jetstream.Stream
		for tries := 1; ; tries++ {
			stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
				Name: name, Subjects: []string{"raw.>"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
				MaxMsgsPerSubject: 1, DiscardNewPerSubject: true,
			})
			if err == nil {
				break
			}
			if tries == 5 || outage.Sleep(ctx, time.Second) != nil { // seen once on a busy machine: error creating store for stream
				return nil, fmt.Errorf("create stream %s: %w", name, err)
			}
		}
		perSecond, err := m.f(ctx, js, stream, long)
		if err := errors.Join(err, js.DeleteStream(ctx, name)); err != nil {
			return nil, fmt.Errorf("%s: %w", m.what, err)
		}
		parts = append(parts, PartRate{What: fmt.Sprintf("NATS, syncing %s: %s", syncing(always), m.what), Unit: "messages", PerSecond: perSecond})
	}
	return parts, nil
}

// rawMessage returns a message that cannot be compressed, on a subject of its own.
func rawMessage(n int) *nats.Msg {
	data := make([]byte, rawMessageBytes)
	r := rand.NewPCG(3, uint64(n))
	for i := range data {
		data[i] = byte(r.Uint64())
	}
	return &nats.Msg{Subject: fmt.Sprint("raw.", n), Data: data}
}

func publishSync(ctx context.Context, js jetstream.JetStream, _ jetstream.Stream, long time.Duration) (float64, error) {
	var group errgroup.Group
	counts := make([]int, rawAtOnce)
	started := time.Now()
	for i := range counts {
		group.Go(func() error {
			for n := i; time.Since(started) < long; n += rawAtOnce {
				if _, err := js.PublishMsg(ctx, rawMessage(n)); err != nil {
					return err
				}
				counts[i]++
			}
			return nil
		})
	}
	err := group.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return rate(sum, time.Since(started)), err
}

func publishAsync(ctx context.Context, js jetstream.JetStream, _ jetstream.Stream, long time.Duration) (float64, error) {
	const some = 1000
	n := 0
	return repeat(ctx, long, func() (int, error) {
		var acks []jetstream.PubAckFuture
		for range some {
			ack, err := js.PublishMsgAsync(rawMessage(n), jetstream.WithStallWait(10*time.Second))
			if err != nil {
				return 0, err
			}
			acks = append(acks, ack)
			n++
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				return 0, err
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		return some, nil
	})
}

func fetchAndAck(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, long time.Duration) (float64, error) {
	durable, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "raw", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return 0, err
	}
	if _, err := publishAsync(ctx, js, stream, long); err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	total, started := int(info.State.Msgs), time.Now()
	for left := total; left > 0; {
		batch, err := durable.Fetch(min(rawFetch, left))
		if err != nil {
			return 0, err
		}
		for msg := range batch.Messages() {
			if err := msg.Ack(); err != nil {
				return 0, err
			}
			left--
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return 0, err
		}
	}
	// When the stream is empty the server has taken all acks.
	waitUntil(ctx, func() bool {
		info, err = stream.Info(ctx)
		return err != nil || info.State.Msgs == 0
	})
	return rate(total, time.Since(started)), errors.Join(err, ctx.Err())
}
