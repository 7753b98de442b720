package parquet_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"gleaner/internal/dataset/parquet"
)

// benchRows makes rows as the measurements of the project have them: an id, a text of 120 bytes,
// one of 390, and two numbers.
func benchRows(n int) [][]byte {
	words := strings.Fields("the of and to in is that for it as was with be by on not he his but at are this have from which or had")
	random := rand.New(rand.NewPCG(1, 2))
	text := func(size int) string {
		var b strings.Builder
		for b.Len() < size {
			b.WriteString(words[random.IntN(len(words))])
			b.WriteByte(' ')
		}
		return b.String()[:size]
	}
	rows := make([][]byte, n)
	for i := range rows {
		rows[i] = fmt.Appendf(nil, `{"id":%d,"question":%q,"answer":%q,"score":%v,"weight":%v}`, i, text(120), text(390), random.Float64(), random.Float64())
	}
	return rows
}

func BenchmarkRead(b *testing.B) {
	file := writeFile(b, benchRows(100_000))
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		r, err := parquet.Open(bytes.NewReader(file), int64(len(file)), "bench")
		if err != nil {
			b.Fatal(err)
		}
		for {
			row, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(row)) * 100_000)
			rows++
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkObserve(b *testing.B) {
	rows := benchRows(10_000)
	var schema parquet.Schema
	n := 0
	for b.Loop() {
		if err := schema.Observe(rows[n%len(rows)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkWrite(b *testing.B) {
	rows := benchRows(10_000)
	var schema parquet.Schema
	for _, row := range rows {
		if err := schema.Observe(row); err != nil {
			b.Fatal(err)
		}
	}
	w, err := parquet.NewWriter(io.Discard, &schema)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := w.Write(rows[n%len(rows)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}
