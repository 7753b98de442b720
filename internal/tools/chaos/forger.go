//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

const (
	forgedMark   = "FORGED"               // stands in everything that is forged
	forgeEvery   = 400 * time.Millisecond // each that is refused may cost its batch another round
	forgeWithin  = 2 * time.Second        // for one message: the server may be away
	forgedRounds = 3                      // it names rounds up to this one
)

// A forger is a client with a consumer's key that takes no work. It publishes answers and dead
// letters for batches that it was not handed: without a token, with a random one, and with tokens
// of other batches and of other rounds, as if it had been handed those.
type forger struct {
	r     *mathrand.Rand
	url   string // of NATS
	store store.Store
	sent  int // messages that the server confirmed
}

func newForger(seed int64, url string, s store.Store) *forger {
	return &forger{r: mathrand.New(mathrand.NewPCG(uint64(seed), 5)), url: url, store: s}
}

// run forges until ctx ends. While a server is away nothing is forged.
func (g *forger) run(ctx context.Context) error {
	conn, err := stream.Connect(ctx, stream.Config{URL: g.url, Name: "forger", Patient: true, Log: zap.NewNop()})
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	defer conn.Close()
	for outage.Sleep(ctx, forgeEvery) == nil {
		known, err := g.store.Run(ctx, run)
		if err != nil || known.State != pipeline.RunOpen || known.Batches == 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, forgeWithin)
		if g.forge(limited, conn, known) == nil {
			g.sent++
		}
		cancel()
	}
	return nil
}

// forge publishes one message about one batch.
func (g *forger) forge(ctx context.Context, conn *stream.Conn, known pipeline.Run) error {
	batch := g.r.IntN(known.Batches)
	found, err := g.store.BatchesAt(ctx, run, []int{batch})
	if err != nil || len(found) == 0 {
		return errors.Join(err, fmt.Errorf("batch %d is not there", batch))
	}
	of := found[0]
	round := 1 + g.r.IntN(forgedRounds)
	if g.r.IntN(2) == 0 {
		round = max(1, of.Round)
	}
	token := g.token(known, batch, round)
	if g.r.IntN(3) == 0 {
		return conn.PublishDeadLetter(ctx, forgedLetter(known, of, round, token))
	}
	return conn.PublishResults(ctx, forgedResults(known, of, round, token))
}

// token returns one that is not that of the batch in the round.
func (g *forger) token(known pipeline.Run, batch, round int) pipeline.Token {
	switch g.r.IntN(4) {
	case 0:
		return nil
	case 1:
		token := make(pipeline.Token, len(known.Key.Token(known.UID, batch, round)))
		_, _ = rand.Read(token) // never fails
		return token
	case 2:
		return known.Key.Token(known.UID, batch+1, round)
	default:
		return known.Key.Token(known.UID, batch, round+1+g.r.IntN(forgedRounds))
	}
}

func forgedResults(known pipeline.Run, of pipeline.Batch, round int, token pipeline.Token) pipeline.Results {
	r := pipeline.Results{
		Run: known.Name, UID: known.UID, Batch: of.Index, Round: round, Token: token,
		Consumer: forgedMark, GPU: forgedMark, Engine: pipeline.Ollama, Digest: ownDigest,
	}
	for i := range of.Count {
		item, sample := of.Generation(i, known.Spec.Samples)
		r.Results = append(r.Results, pipeline.Result{Index: i, Item: item, Sample: sample, Text: forgedMark, Finish: pipeline.FinishStop, CreatedAt: time.Now()})
	}
	return r
}

func forgedLetter(known pipeline.Run, of pipeline.Batch, round int, token pipeline.Token) pipeline.DeadLetter {
	d := pipeline.DeadLetter{
		Run: known.Name, UID: known.UID, Batch: of.Index, Round: round, Token: token,
		Class: pipeline.BadItem, Message: forgedMark, Consumer: forgedMark, GPU: forgedMark, Model: model, FailedAt: time.Now(),
	}
	for i := range of.Count {
		item, sample := of.Generation(i, known.Spec.Samples)
		d.Failures = append(d.Failures, pipeline.GenerationFailure{
			Generation: pipeline.Generation{Index: i, Item: item, Sample: sample, Messages: pipeline.User(forgedMark)},
			Class:      pipeline.BadItem, Message: forgedMark, Attempts: 1,
		})
	}
	return d
}

// isForged reports whether an answer, or a failure in a letter that counts, is the forger's.
func isForged(texts ...string) bool { return strings.Contains(strings.Join(texts, " "), forgedMark) }
