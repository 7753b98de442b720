package dataset

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

// Each content is made to let a reader repeat its work, or keep what it has no room for. A reader
// whose time grows with the square of the size would not come to the end of this test.
func TestHostileFilesAreReadInTimeAndRoom(t *testing.T) {
	fill := strings.Repeat("x", 400)
	for name, block := range map[string]string{
		"objects that go on":       "{\"a\":[\"" + fill + "\",\n",
		"lists that go on":         "{\"a\":[[[[[[\n",
		"quotes that go on":        "a,b\n\"" + fill + "\"\"\n",
		"quotes after each other":  "a,b\n\"\"" + fill + "\n",
		"braces":                   "{",
		"closing braces":           "{}}\n",
		"names":                    "{\"" + fill + "\":",
		"delimiters":               ",;,;,|",
		"commas":                   "[,,,",
		"escapes":                  "{\"\\u00",
		"line ends":                "\n",
		"space":                    "{ ",
		"a number":                 "1",
		"the same name":            "{\"a\":1,\"\\u0061\":2}\n",
		"pretty, broken":           "{\n \"a\": oops\n}\n",
		"list of everything wrong": "[{\"a\":}, 1, nul, {\"b\"}, \"\t\",\n",
	} {
		t.Run(name, func(t *testing.T) {
			size := 2 << 20
			if len(block) > 100 && !raceEnabled {
				size = 24 << 20 // the window is full several times
			}
			var before, now runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := NewReader(&endless{block: []byte(block), left: size}, "hostile.csv")
			if err != nil {
				return
			}
			defer r.Close()
			for n, highest := 0, uint64(0); ; n++ {
				row, err := r.Next()
				var bad *pipeline.RowError
				if err != nil && !errors.As(err, &bad) {
					if err != io.EOF && !strings.HasPrefix(err.Error(), "hostile.csv, line ") {
						t.Error(err)
					}
					break
				}
				if len(row) > pipeline.MaxRowBytes {
					t.Fatalf("a row of %d bytes", len(row))
				}
				if n%10_000 == 0 {
					runtime.ReadMemStats(&now)
					highest = max(highest, now.HeapAlloc)
					if grown := int64(highest) - int64(before.HeapAlloc); grown > 128<<20 {
						t.Fatalf("the heap grew by %d MiB", grown>>20)
					}
				}
			}
		})
	}
}
