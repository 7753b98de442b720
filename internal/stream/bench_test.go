package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"golang.org/x/sync/errgroup"
)

// servers are the ways in which a server is reached and keeps what it confirmed.
func servers(b *testing.B, run func(*testing.B, *Conn)) {
	for _, always := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%t", always), func(b *testing.B) {
			s := natsdtest.Start(b, natsd.Config{SyncAlways: always})
			run(b, ready(b, Config{URL: s.URL()}))
		})
	}
}

// eight answers of the size that arithmetic problems have.
func benchResults(batch int) pipeline.Results {
	texts := make([]string, 8)
	for i := range texts {
		texts[i] = fmt.Sprintf("Answer %d: %s", i, strings.Repeat(noise(12)+" and so on, ", 30))
	}
	return testResults("r", batch, texts...)
}

func benchWork(batch int) pipeline.Work {
	w := testWork("r", batch)
	for i := 1; i < 8; i++ {
		g := w.Generations[0]
		g.Index, g.Messages = i, pipeline.User(noise(20)+strings.Repeat(" and then some words of a problem", 8))
		w.Generations = append(w.Generations, g)
	}
	return w
}

func BenchmarkPublish(b *testing.B) {
	for _, publishers := range []int{1, 8} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			servers(b, func(b *testing.B, c *Conn) {
				w := benchWork(0)
				var group errgroup.Group
				group.SetLimit(publishers)
				for b.Loop() {
					w.Batch++
					w := w
					group.Go(func() error { return c.Publish(b.Context(), w) })
				}
				must(b, group.Wait())
			})
		})
	}
}

func BenchmarkNextAndAck(b *testing.B) {
	for _, workers := range []int{1, 18} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			servers(b, func(b *testing.B, c *Conn) {
				var fill errgroup.Group
				fill.SetLimit(16)
				for i := range b.N {
					fill.Go(func() error { return c.Publish(b.Context(), testWork("r", i)) })
				}
				must(b, fill.Wait())
				source := c.Work("r")
				var group errgroup.Group
				group.SetLimit(workers)
				b.ResetTimer()
				for range b.N {
					group.Go(func() error {
						d, err := source.Next(b.Context())
						if err != nil {
							return err
						}
						return d.Ack(b.Context())
					})
				}
				must(b, group.Wait())
			})
		})
	}
}

func BenchmarkPublishResults(b *testing.B) {
	servers(b, func(b *testing.B, c *Conn) {
		r := benchResults(0)
		var group errgroup.Group
		group.SetLimit(16)
		for b.Loop() {
			r.Batch++
			r := r
			group.Go(func() error { return c.PublishResults(b.Context(), r) })
		}
		must(b, group.Wait())
	})
}

func BenchmarkResultsAndAck(b *testing.B) {
	for _, confirmed := range []bool{false, true} {
		b.Run(fmt.Sprintf("confirmed=%t", confirmed), func(b *testing.B) {
			servers(b, func(b *testing.B, c *Conn) {
				r := benchResults(0)
				var fill errgroup.Group
				fill.SetLimit(16)
				for i := range b.N {
					r := r
					r.Batch = i
					fill.Go(func() error { return c.PublishResults(b.Context(), r) })
				}
				must(b, fill.Wait())
				b.ResetTimer()
				for taken := 0; taken < b.N; {
					results, err := c.Results(b.Context(), min(1000, b.N-taken), time.Second)
					must(b, err)
					var acks errgroup.Group
					acks.SetLimit(16)
					for _, d := range results {
						must(b, d.Err)
						if confirmed {
							d.Receipt.(*receipt).unconfirmed = false
							acks.Go(func() error { return d.Ack(b.Context()) })
						} else {
							must(b, d.Ack(b.Context()))
						}
					}
					must(b, acks.Wait())
					taken += len(results)
				}
				must(b, c.Healthy(b.Context())) // all acks have reached the server
			})
		})
	}
}
