package hub_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(proxyChild) != "" {
		fetchThroughTheProxy()
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	token     = "hf_aVeryLongAndSecretToken"
	gsm8k     = "openai/gsm8k"
	gsm8kCard = `---
license: mit
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: socratic
  data_files:
  - split: train
    path: socratic/train-*
  - split: test
    path: socratic/test-*
---
# GSM8K
`
)

// addGSM8K gives a hub a dataset that is laid out like GSM8K.
func addGSM8K(s *hubtest.Server) (commit string) {
	files := map[string]string{"README.md": gsm8kCard}
	for _, subset := range []string{"main", "socratic"} {
		for _, split := range []string{"train", "test"} {
			files[subset+"/"+split+"-00000-of-00001.parquet"] = "PAR1 " + subset + " " + split + strings.Repeat(" row", 50_000) + " PAR1"
		}
	}
	return s.Add(gsm8k, hubtest.Repo{Files: files})
}

// configOf is a Config for a hub, with a cache of its own and short waits.
func configOf(t *testing.T, s *hubtest.Server) hub.Config {
	t.Helper()
	return hub.Config{Endpoint: s.URL, CacheDir: filepath.Join(t.TempDir(), "cache"), Wait: time.Millisecond, Idle: 10 * time.Second}
}

func mustFetch(t *testing.T, cfg hub.Config, source hub.Source) hub.Fetched {
	t.Helper()
	fetched, err := hub.Fetch(t.Context(), cfg, source)
	if err != nil {
		t.Fatal(err)
	}
	return fetched
}

// failing returns the error of a fetch, which has to have these parts and may not show the token.
func failing(t *testing.T, cfg hub.Config, source hub.Source, parts ...string) error {
	t.Helper()
	fetched, err := hub.Fetch(t.Context(), cfg, source)
	if err == nil {
		t.Fatalf("fetching %s gave %+v, want an error", source.Input, fetched)
	}
	mustSay(t, err, parts...)
	return err
}

func mustSay(t *testing.T, err error, parts ...string) {
	t.Helper()
	t.Log(err)
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("the error shows the token: %v", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), token) {
			t.Errorf("an error in the error shows the token: %v", e)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it took too long: %v", err)
	}
}

// texts returns what is in the files.
func texts(t *testing.T, files []string) (all []string) {
	t.Helper()
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(data))
	}
	return all
}

// paths returns the paths of what was asked of a host.
func paths(seen []hubtest.Seen, host string) (all []string) {
	for _, r := range seen {
		if r.Host == host {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	return all
}
