package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An answer is in the store within two seconds of its end, whatever others take.
func TestAnAnswerIsStoredSoon(t *testing.T) {
	dir := t.TempDir()
	input, data := filepath.Join(dir, "rows.jsonl"), filepath.Join(dir, "data")
	if err := os.WriteFile(input, []byte(strings.Repeat("{\"q\": \"Why?\"}\n", 24)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "run", "--simulate", "--input", input, "--field", "q", "--run", "killed", "--data", data, "--sim-gpus", "1", "--slots", "4", "--sim-speed", "4")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	seen, last, took := map[string]bool{}, time.Now(), 0
	for over := false; !over; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v\n%s", err, cmd.Stderr)
			}
			over = true
		case <-time.After(50 * time.Millisecond):
		}
		there, now := stored(t, data), time.Now()
		for id, result := range there {
			if lag := last.Sub(result.CreatedAt); !seen[id] && lag > 2*time.Second { // it was not there at the last look
				t.Errorf("answer %s was not in the store %s after its end", id, lag.Round(time.Millisecond))
			}
			seen[id] = true
			took = max(took, result.DurationMS)
		}
		last = now
	}
	if len(seen) != 24 {
		t.Errorf("%d answers are stored", len(seen))
	}
	t.Logf("the longest answer took %d ms", took)
}
