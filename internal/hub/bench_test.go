package hub_test

import (
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

// BenchmarkADownload measures a file of 64 MiB that comes from this machine: what it costs to
// receive, write and check it.
func BenchmarkADownload(b *testing.B) {
	s := hubtest.Start(b)
	data := strings.Repeat("a row of sixty-four bytes, as rows of a file for models are...\n\n", 1<<20)
	s.Add("me/big", hubtest.Repo{Files: map[string]string{"train.parquet": data}})
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		cfg := hub.Config{Endpoint: s.URL, CacheDir: filepath.Join(b.TempDir(), "cache")}
		if _, err := hub.Fetch(b.Context(), cfg, hub.Source{Input: "hf://datasets/me/big"}); err != nil {
			b.Fatal(err)
		}
	}
}
