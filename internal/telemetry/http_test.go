package telemetry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t testing.TB, health func(context.Context) error, handlers Handlers) *Server {
	t.Helper()
	s, err := Listen(":0", zap.NewNop(), health, handlers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t testing.TB, s *Server, path string) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestHealthIsAnsweredWithItsReason(t *testing.T) {
	var reason error
	s := listen(t, func(context.Context) error { return reason }, nil)
	if code, body := get(t, s, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthy: %d %q", code, body)
	}
	reason = errors.New("the store is away")
	if code, body := get(t, s, "/healthz"); code != 503 || body != "the store is away\n" {
		t.Errorf("ill: %d %q", code, body)
	}
	if code, _ := get(t, s, "/metrics"); code != 404 {
		t.Errorf("metrics that were not added: %d", code)
	}
}

func TestAddedHandlersAreServed(t *testing.T) {
	s := listen(t, nil, Handlers{"/metrics": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })})
	if code, body := get(t, s, "/metrics"); code != 200 || body != "up 1\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, body := get(t, s, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("without a health function: %d %q", code, body)
	}
}

func TestAnAddressWithoutAHostIsOnLoopback(t *testing.T) {
	host, _, err := net.SplitHostPort(listen(t, nil, nil).Addr())
	if err != nil || host != "127.0.0.1" {
		t.Errorf("host %s, %v", host, err)
	}
}

func TestAnAddressThatCannotBeUsedIsExplained(t *testing.T) {
	taken := listen(t, nil, nil).Addr()
	for addr, want := range map[string]string{
		taken:  "http address " + taken + " is in use: stop the program that holds it, or choose another port: ",
		"9090": `http address "9090" is not allowed: use HOST:PORT, or :PORT for loopback`,
	} {
		if _, err := Listen(addr, zap.NewNop(), nil, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", addr, err, want)
		}
	}
}

func TestCloseWaitsForARequestInProgress(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	s, err := Listen(":0", zap.NewNop(), func(context.Context) error { close(asked); <-answer; return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	code := make(chan int, 1)
	go func() {
		defer close(code)
		response, err := http.Get("http://" + s.Addr() + "/healthz")
		if err != nil {
			t.Error(err)
			return
		}
		response.Body.Close()
		code <- response.StatusCode
	}()
	<-asked
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	close(answer)
	if got := <-code; got != 200 {
		t.Errorf("status %d", got)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("still listening")
	}
}
