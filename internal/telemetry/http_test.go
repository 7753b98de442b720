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

func listen(t testing.TB, metrics http.Handler, health func(context.Context) error) *HTTP {
	t.Helper()
	h, err := Listen(":0", metrics, health, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func get(t testing.TB, h *HTTP, path string) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + h.Addr() + path)
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
	h := listen(t, nil, func(context.Context) error { return reason })
	if code, body := get(t, h, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthy: %d %q", code, body)
	}
	reason = errors.New("the store is away")
	if code, body := get(t, h, "/healthz"); code != 503 || body != "the store is away\n" {
		t.Errorf("ill: %d %q", code, body)
	}
	if code, _ := get(t, h, "/metrics"); code != 404 {
		t.Errorf("metrics that nobody gave: %d", code)
	}
}

func TestMetricsAreServedIfThereAreAny(t *testing.T) {
	h := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") }), nil)
	if code, body := get(t, h, "/metrics"); code != 200 || body != "up 1\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, body := get(t, h, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("nobody to ask: %d %q", code, body)
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
		if _, err := Listen(addr, nil, nil, zap.NewNop()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", addr, err, want)
		}
	}
}

func TestCloseWaitsForTheAnswerThatIsUnderWay(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	h, err := Listen(":0", nil, func(context.Context) error { close(asked); <-answer; return nil }, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	code := make(chan int, 1)
	go func() {
		defer close(code)
		response, err := http.Get("http://" + h.Addr() + "/healthz")
		if err != nil {
			t.Error(err)
			return
		}
		response.Body.Close()
		code <- response.StatusCode
	}()
	<-asked
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	close(answer)
	if got := <-code; got != 200 {
		t.Errorf("status %d", got)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", h.Addr()); err == nil {
		t.Error("still listening")
	}
}
