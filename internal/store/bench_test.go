package store_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

func benchmarkBoth(b *testing.B, f func(*testing.B, store.Store)) {
	b.Run("sqlite", func(b *testing.B) { f(b, openSQLite(b)) })
	b.Run("mongodb", func(b *testing.B) { f(b, openMongo(b)) })
}

const benchBatch = 8 // generations

// benchRun stores a run of that many items without sealing it.
func benchRun(b *testing.B, s store.Store, items int) {
	b.Helper()
	_, _, err := s.CreateRun(b.Context(), pipeline.Run{
		Name: "bench", Items: items, Generations: items, CreatedAt: time.Now(), Spec: pipeline.Spec{Model: "m", Samples: 1, Batch: benchBatch},
	})
	if err != nil {
		b.Fatal(err)
	}
}

func benchItems(first, count int) []pipeline.Item {
	items := make([]pipeline.Item, count)
	for i := range items {
		items[i] = pipeline.Item{Run: "bench", Seq: first + i, Input: fmt.Appendf(nil, `{"question":"%s %d","answer":"%s"}`, strings.Repeat("how many ", 25), first+i, strings.Repeat("this many ", 35))}
	}
	return items
}

func benchBatches(first, count int) []pipeline.Batch {
	batches := make([]pipeline.Batch, count)
	for i := range batches {
		batches[i] = pipeline.Batch{Run: "bench", Index: first + i, First: (first + i) * benchBatch, Count: benchBatch, State: pipeline.Queued, Round: 1}
	}
	return batches
}

func benchResults(batch int) pipeline.Results {
	m := pipeline.Results{Run: "bench", Batch: batch, Round: 1, Consumer: "01J0000000000000000000000C", GPU: "Tesla T4 (0)"}
	for i := range benchBatch {
		m.Results = append(m.Results, pipeline.Result{
			Index: i, Item: batch*benchBatch + i, Text: strings.Repeat("this many ", 40), Finish: "stop", PromptTokens: 80, OutputTokens: 100, DurationMS: 8000, CreatedAt: time.Now(),
		})
	}
	return m
}

func BenchmarkPutItems(b *testing.B) {
	benchmarkBoth(b, func(b *testing.B, s store.Store) {
		benchRun(b, s, 1e9)
		n := 0
		for b.Loop() {
			if err := s.PutItems(b.Context(), benchItems(n, store.LoadChunk)); err != nil {
				b.Fatal(err)
			}
			n += store.LoadChunk
		}
		rate(b, n)
	})
}

// BenchmarkWriteResults writes 1,000 results per call, in batches of eight.
func BenchmarkWriteResults(b *testing.B) {
	benchmarkBoth(b, func(b *testing.B, s store.Store) {
		benchRun(b, s, 1e9)
		const perCall = 1000 / benchBatch
		n := 0
		for b.Loop() {
			b.StopTimer()
			if err := s.PutBatches(b.Context(), benchBatches(n, perCall)); err != nil {
				b.Fatal(err)
			}
			messages := make([]pipeline.Results, perCall)
			for i := range messages {
				messages[i] = benchResults(n + i)
			}
			n += perCall
			b.StartTimer()
			written, err := s.WriteResults(b.Context(), messages, time.Now())
			if err != nil || written.New != 1000 {
				b.Fatal(written, err)
			}
		}
		rate(b, n*benchBatch)
	})
}

// BenchmarkAnswers reads runs of two sizes: what it needs of memory is the same.
func BenchmarkAnswers(b *testing.B) {
	for _, rows := range []int{20_000, 200_000} {
		b.Run(fmt.Sprintf("%d rows", rows), func(b *testing.B) {
			benchmarkBoth(b, func(b *testing.B, s store.Store) { benchAnswers(b, s, rows) })
		})
	}
}

func benchAnswers(b *testing.B, s store.Store, rows int) {
	benchRun(b, s, rows)
	for first := 0; first < rows; first += store.LoadChunk {
		if err := s.PutItems(b.Context(), benchItems(first, store.LoadChunk)); err != nil {
			b.Fatal(err)
		}
		var messages []pipeline.Results
		for batch := range store.LoadChunk / benchBatch {
			messages = append(messages, benchResults(first/benchBatch+batch))
		}
		if err := s.PutBatches(b.Context(), benchBatches(first/benchBatch, store.LoadChunk/benchBatch)); err != nil {
			b.Fatal(err)
		}
		if _, err := s.WriteResults(b.Context(), messages, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	n, peak := 0, uint64(0)
	for b.Loop() {
		for a, err := range s.Answers(b.Context(), "bench") {
			if err != nil || a.Result == nil {
				b.Fatal(a, err)
			}
			if n++; n%10_000 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	}
	rate(b, n)
	b.ReportMetric(float64(peak)/(1<<20), "MiB-heap")
}

func BenchmarkProgress(b *testing.B) {
	benchmarkBoth(b, func(b *testing.B, s store.Store) {
		benchRun(b, s, 800_000)
		for first := 0; first < 100_000; first += store.LoadChunk {
			if err := s.PutBatches(b.Context(), benchBatches(first, store.LoadChunk)); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if _, err := s.Progress(b.Context(), "bench", time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// rate reports rows per second.
func rate(b *testing.B, n int) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}
