package ollama_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gleaner/internal/ollama"
	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/pipeline"
)

// A tap is a proxy in front of a server that reports when the first part of a stream has come.
type tap struct {
	url     string
	flowing chan struct{} // gets one for each stream
}

func newTap(t *testing.T, server string) *tap {
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{flowing: make(chan struct{}, 16)}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // it cuts streams on purpose
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: func(r *http.Response) error {
			r.Body = &tapped{ReadCloser: r.Body, onData: sync.OnceFunc(func() { p.flowing <- struct{}{} })}
			return nil
		},
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(func() {
		front.Close()
		transport.CloseIdleConnections()
	})
	p.url = front.URL
	return p
}

type tapped struct {
	io.ReadCloser
	onData func()
}

func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if n > 0 {
		t.onData()
	}
	return n, err
}

var endless = pipeline.Request{Model: "tiny-endless", Messages: pipeline.User("Tell me a long story."), Seed: 1, Options: pipeline.Options{NumPredict: 4000}}

// midStream generates, and does something to the server as soon as the first token has come.
func midStream(t *testing.T, client *ollama.Client, tap *tap, do func()) error {
	t.Helper()
	result := make(chan error, 1)
	go func() {
		_, err := client.Generate(t.Context(), endless)
		result <- err
	}()
	select {
	case <-tap.flowing:
		do()
	case err := <-result:
		return err
	}
	return <-result
}

// warm returns a server that belongs to the test, with its model loaded, and a client that reaches
// it through a tap.
func warm(t *testing.T, cfg ollama.Config) (*ollamatest.RealServer, *tap, *ollama.Client) {
	t.Helper()
	server := ollamatest.Start(t, ollamatest.Bin(t), "tiny", "tiny-endless")
	if err := dial(t, server.URL, ollama.Config{}).WarmUp(t.Context(), endless.Model); err != nil {
		t.Fatal(err)
	}
	tap := newTap(t, server.URL)
	return server, tap, dial(t, tap.url, cfg)
}

func TestARunnerOfARealServerThatIsKilledIsACrashAndTheServerMendsIt(t *testing.T) {
	server, tap, client := warm(t, ollama.Config{})
	err := midStream(t, client, tap, func() { server.SignalRunner(t, syscall.SIGKILL) })
	if pipeline.ClassOf(err) != pipeline.Retryable || !errors.Is(err, pipeline.ErrRunnerCrashed) {
		t.Fatalf("class %s: %v", pipeline.ClassOf(err), err)
	}
	again := endless
	again.Options.NumPredict = 5
	var after error
	until(t, "the server answers again", func() bool {
		_, after = client.Generate(t.Context(), again)
		return pipeline.ClassOf(after) == pipeline.Truncated
	})
}

func TestTheFirstChatOfARealServerUsesWhatTheWarmUpHasLoaded(t *testing.T) {
	server, _, client := warm(t, ollama.Config{})
	loaded := server.Runner(t)
	short := endless
	short.Options.NumPredict = 5
	for range 3 {
		if _, err := client.Generate(t.Context(), short); pipeline.ClassOf(err) != pipeline.Truncated {
			t.Fatal(err)
		}
		if now := server.Runner(t); now != loaded {
			t.Fatalf("the model runs in process %d, and was loaded in %d", now, loaded)
		}
	}
}

func TestARealServerThatIsKilledCutsTheStream(t *testing.T) {
	server, tap, client := warm(t, ollama.Config{})
	err := midStream(t, client, tap, func() { server.Kill(t) })
	if pipeline.ClassOf(err) != pipeline.Retryable || errors.Is(err, pipeline.ErrRunnerCrashed) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("class %s: %v", pipeline.ClassOf(err), err)
	}
	_, err = dial(t, server.URL, ollama.Config{}).Generate(t.Context(), endless)
	if pipeline.ClassOf(err) != pipeline.Retryable || !strings.Contains(err.Error(), "ollama serve") {
		t.Fatalf("class %s: %v", pipeline.ClassOf(err), err)
	}
}

func TestARunnerOfARealServerThatHangsIsAStall(t *testing.T) {
	server, tap, client := warm(t, ollama.Config{FirstToken: 300 * time.Millisecond, Stall: 300 * time.Millisecond})
	runner := 0
	err := midStream(t, client, tap, func() { runner = server.SignalRunner(t, syscall.SIGSTOP) })
	if pipeline.ClassOf(err) != pipeline.Retryable || !errors.Is(err, pipeline.ErrStalled) {
		t.Fatalf("class %s: %v", pipeline.ClassOf(err), err)
	}
	if err := client.Ping(t.Context()); err != nil {
		t.Fatalf("the server itself does not answer: %v", err)
	}
	_, err = client.Generate(t.Context(), endless)
	if !errors.Is(err, pipeline.ErrStalled) {
		t.Fatalf("the next request does not stall: %v", err)
	}
	if err := syscall.Kill(runner, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the runner goes on", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		short := endless
		short.Options.NumPredict = 5
		_, err := dial(t, server.URL, ollama.Config{}).Generate(ctx, short)
		return pipeline.ClassOf(err) == pipeline.Truncated
	})
}
