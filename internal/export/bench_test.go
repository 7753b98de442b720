package export

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gleaner/internal/pipeline"
)

// benchRun is a run whose rows are like word problems: 550 bytes, with answers of 300.
func benchRun(n int) (rows []string, answers []pipeline.Answer) {
	for i := range n {
		rows = append(rows, fmt.Sprintf(`{"id": %d, "question": %q, "answer": %q, "level": %d.5, "tags": ["a", "b"]}`, i,
			strings.Repeat(fmt.Sprint("Ann has ", i, " apples and buys 4 more. "), 7), strings.Repeat("She has 3+4 = 7 apples.\n", 10), i%10))
		answers = append(answers, pipeline.Answer{Item: i, Input: []byte(rows[i]), Result: &pipeline.StoredResult{
			Result: pipeline.Result{Text: strings.Repeat("She then has 7 apples, "+fmt.Sprint(i)+".\n", 10), Finish: pipeline.FinishStop, PromptTokens: 70, OutputTokens: 80,
				DurationMS: 900, CreatedAt: time.Unix(1_700_000_000, 0).UTC()},
			Round: 1, Consumer: "01M89RGCHQEJHAFVSNE8P3RJK1", GPU: "GPU 1", Engine: pipeline.Ollama, Digest: strings.Repeat("ab", 32),
		}})
	}
	return rows, answers
}

// BenchmarkExport measures how fast an export can be at best: it says rows/s.
func BenchmarkExport(b *testing.B) {
	rows, answers := benchRun(1000)
	for _, layout := range []string{LayoutRows, LayoutChat} {
		for _, name := range []string{"out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.json", "out.csv", "out.parquet", "folder/"} {
			b.Run(layout+"/"+name, func(b *testing.B) {
				c, names := settled(b, testRun(), Config{Out: filepath.Join(b.TempDir(), name) + map[bool]string{true: "/"}[name == "folder/"], Layout: layout}, rows...)
				x, err := New(testRun(), c, names, asked{question: rows[0][:250]})
				if err != nil {
					b.Fatal(err)
				}
				defer x.Abort()
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					if err := x.Add(answers[n%len(answers)]); err != nil {
						b.Fatal(err)
					}
					n++
				}
				b.StopTimer()
				started := b.Elapsed()
				b.StartTimer()
				if _, err := x.Commit(); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(n)/started.Seconds(), "adds/s")
			})
		}
	}
}
