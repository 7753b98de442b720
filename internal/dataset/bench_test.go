package dataset

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// benchRow is like a row of a dataset of word problems: 0.5 KB in two columns.
func benchRow() []byte {
	return []byte(fmt.Sprintf(`{"question": %q, "answer": %q}`,
		strings.Repeat("Ann has 3 apples and buys 4 more. ", 7), strings.Repeat("She has 3+4 = 7 apples.\n", 10)))
}

// BenchmarkRead measures how fast a load can be at best, with 1,000 rows in each iteration.
func BenchmarkRead(b *testing.B) {
	plain := strings.Repeat(string(benchRow())+"\n", 1000)
	for _, format := range []string{"plain", "gzip", "zstd"} {
		content := plain
		if format != "plain" {
			content = packed(b, format, content)
		}
		b.Run(format, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(strings.NewReader(content), "bench")
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = r.Next()
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkReadStream measures the same without the cost of opening.
func BenchmarkReadStream(b *testing.B) {
	row := append(benchRow(), '\n')
	r, err := NewReader(&endless{block: bytes.Repeat(row, 100), left: 1 << 62}, "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend measures the cost of an exported row.
func BenchmarkAppend(b *testing.B) {
	row := benchRow()
	text := strings.Repeat("She has 3+4 = 7 apples.\n", 10)
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Append(row, Field{"response", text}, Field{"model", "tiny"}); err != nil {
			b.Fatal(err)
		}
	}
}
