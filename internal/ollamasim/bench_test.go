package ollamasim_test

import (
	"testing"
	"time"

	"gleaner/internal/ollama"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/pipeline"
)

// What does an answer cost where the model takes no time, with the project's client in the same
// process?
func BenchmarkAnInstantAnswerOverHTTP(b *testing.B) {
	_, url := simtest.Start(b, ollamasim.Config{Slots: 64, Instant: true})
	client, err := ollama.New(url, ollama.Config{Slots: 64})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	req := pipeline.Request{Model: "simulated/sim", Messages: pipeline.User("How many apples do 3 children have?"), Options: pipeline.Options{NumPredict: 5000}}
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Generate(b.Context(), req); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
}

// How much of a core do concurrent streams take? The time of an operation is that of 100 tokens of
// each.
func BenchmarkStreams(b *testing.B) {
	for _, bench := range []struct {
		name       string
		rate       float64
		chunkEvery time.Duration
	}{
		{"160 at 13 tokens a second, a chunk for each", 13, 0},
		{"160 at 130 tokens a second, a chunk every 50 ms", 130, 50 * time.Millisecond},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const streams = 160
			s, url := simtest.Start(b, ollamasim.Config{Slots: streams, TokensPerSecond: func(int) float64 { return bench.rate }, ChunkEvery: bench.chunkEvery,
				Lengths: func(string, int) int { return 100 }})
			client, err := ollama.New(url, ollama.Config{Slots: streams})
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			before := cpuTime(b)
			for b.Loop() {
				done := make(chan error, streams)
				for seed := range streams {
					go func() {
						_, err := client.Generate(b.Context(), pipeline.Request{Model: "simulated/sim", Messages: pipeline.User("Why?"), Seed: seed, Options: pipeline.Options{NumPredict: 500}})
						done <- err
					}()
				}
				for range streams {
					if err := <-done; err != nil {
						b.Error(err)
					}
				}
			}
			b.ReportMetric((cpuTime(b)-before).Seconds()/b.Elapsed().Seconds(), "cores")
			b.ReportMetric(float64(s.Stats().Tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
