package export

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/natsd/natsdtest"
)

func TestAFullDiskLeavesTheOldFile(t *testing.T) {
	natsdtest.OnSmallDisk(t, 8<<20, func(dir string) {
		rows, texts := numbered(40)
		for i := range texts { // what no compression makes smaller
			texts[i] = noise(400_000, uint64(i))
		}
		for _, name := range []string{"out.jsonl", "out.json.gz", "out.csv", "out.parquet", "folder/"} {
			out := dir + "/" + name
			if err := again(t, Config{}, out); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			_, err := exported(t, testRun(), Config{Out: out}, nil, answered(rows, texts...))
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space or choose another disk") {
				t.Errorf("%s: %v", name, err)
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if err := os.RemoveAll(out); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// noise returns a text that does not repeat itself.
func noise(n int, seed uint64) string {
	b := make([]byte, n)
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = " !#$%&()*+-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ"[seed>>33%56]
	}
	return string(b)
}
