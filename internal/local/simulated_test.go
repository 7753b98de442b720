package local_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/store"
)

// The same command, first without and then with an Ollama server at the address, makes two runs,
// and nothing of the first one stands in the second.
func TestWhatWasSimulatedIsNeverPartOfARealRun(t *testing.T) {
	there, err := url.Parse(ollamatest.Host(t))
	if err != nil {
		t.Fatal(err)
	}
	p := build(t, "")
	listener, err := net.Listen("tcp", "127.0.0.1:0") // an address where nothing answers until a server starts
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	data := filepath.Join(t.TempDir(), "data")
	demo := func() (run string, stored int) {
		t.Helper()
		gleaner := p.start("gleaner", "run", "--limit", "6", "--model", "tiny", "--num-predict", "1500", "--sim-speed", "1000",
			"--ollama", "http://"+address, "--data", data, "--json")
		if code := gleaner.Wait(); code != 0 && code != 3 { // the tiny model may run into the length
			t.Fatalf("it ended with %d:\n%s", code, gleaner.Said())
		}
		var summary struct {
			Run       string
			Stored    int
			Generated int
			Simulated bool
			Out       string
		}
		if err := json.Unmarshal(gleaner.Out.Bytes(), &summary); err != nil {
			t.Fatal(err)
		}
		simulated := strings.HasPrefix(summary.Run, "sim-")
		if summary.Simulated != simulated || summary.Stored == 0 || summary.Generated < summary.Stored {
			t.Errorf("it made %+v", summary)
		}
		written, err := os.ReadFile(summary.Out)
		if err != nil {
			t.Fatal(err)
		}
		marks := map[bool]int{true: summary.Stored}[simulated]
		if got := bytes.Count(written, []byte(`"simulated":true`)); got != marks {
			t.Errorf("%d lines of the export of %s say that they are simulated, want %d:\n%s", got, summary.Run, marks, written)
		}
		return summary.Run, summary.Stored
	}
	first, _ := demo()
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: httputil.NewSingleHostReverseProxy(there)}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { server.Close() })
	second, _ := demo()
	if first == second || !strings.HasPrefix(first, "sim-") || strings.HasPrefix(second, "sim-") {
		t.Errorf("the runs are %s and %s", first, second)
	}

	kept, err := store.Open(t.Context(), "sqlite:"+filepath.Join(data, "gleaner.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	texts := map[string]string{}
	for _, run := range []string{first, second} {
		for answer, err := range kept.Answers(t.Context(), run) {
			if err != nil {
				t.Fatal(err)
			}
			if answer.Result == nil {
				continue
			}
			if other := texts[answer.Result.Text]; other != "" && other != run {
				t.Errorf("an answer of %s is one of %s, too: %q", run, other, answer.Result.Text)
			}
			texts[answer.Result.Text] = run
			if simulated := strings.HasPrefix(answer.Result.GPU, "simulated"); simulated != (run == first) {
				t.Errorf("run %s has an answer of %s", run, answer.Result.GPU)
			}
		}
	}
}
