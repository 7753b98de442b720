package dataset

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// benchTexts returns the same 1,000 rows of about 550 bytes as JSON Lines, array and CSV.
func benchTexts() map[string]string {
	var lines, array, pretty, table strings.Builder
	table.WriteString("id,question,answer,score\n")
	for i := range 1000 {
		question := fmt.Sprintf("Ann has %d apples, gives %d of them away and buys %d more; how many has she now? ", i, i/2, i%7)
		question += strings.Repeat("Say it in plain words. ", 3)
		answer := strings.Repeat(fmt.Sprintf("She has %d+%d = %d apples.\n", i, i%7, i+i%7), 13)
		row := fmt.Sprintf(`{"id": %d, "question": %q, "answer": %q, "score": 0.5}`, i, question, answer)
		lines.WriteString(row + "\n")
		array.WriteString(map[bool]string{true: "[", false: ", "}[i == 0] + row)
		pretty.WriteString(strings.ReplaceAll(row, `, "`, ",\n  \"") + "\n")
		fmt.Fprintf(&table, "%d,%q,\"%s\",0.5\n", i, question, answer)
	}
	array.WriteString("]")
	return map[string]string{"lines": lines.String(), "array": array.String(), "pretty": pretty.String(), "table": table.String()}
}

// BenchmarkFormats measures reading alone, 1,000 rows in each iteration.
func BenchmarkFormats(b *testing.B) {
	texts := benchTexts()
	texts["lines.gz"], texts["lines.zst"] = packed(b, "gzip", texts["lines"]), packed(b, "zstd", texts["lines"])
	for _, format := range []string{"lines", "array", "pretty", "table", "lines.gz", "lines.zst"} {
		text := texts[format]
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(texts[strings.TrimSuffix(strings.TrimSuffix(format, ".gz"), ".zst")])))
			rows := 0
			for b.Loop() {
				r, err := NewReader(strings.NewReader(text), "bench")
				for err == nil {
					if _, err = r.Next(); err == nil {
						rows++
					}
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				r.Close()
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1000, "krows/s")
		})
	}
}

// BenchmarkCanonical measures the digest of rows, and their canonical form alone.
func BenchmarkCanonical(b *testing.B) {
	rows := bytes.Split(bytes.TrimSpace([]byte(benchTexts()["lines"])), []byte("\n"))
	b.Run("form", func(b *testing.B) {
		var out []byte
		for i := 0; b.Loop(); i++ {
			row := rows[i%len(rows)]
			b.SetBytes(int64(len(row)))
			out = Canonical(out[:0], row)
		}
	})
	b.Run("digest", func(b *testing.B) {
		d := NewDigest()
		for i := 0; b.Loop(); i++ {
			row := rows[i%len(rows)]
			b.SetBytes(int64(len(row)))
			d.Add(row)
		}
	})
}
