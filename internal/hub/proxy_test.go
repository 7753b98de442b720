package hub_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gleaner/internal/hub"
)

// proxyChild is set in the process that reads the proxies of its environment.
const proxyChild = "GLEANER_TEST_PROXY_CHILD"

// fetchThroughTheProxy is what that process does.
func fetchThroughTheProxy() {
	_, err := hub.Fetch(context.Background(), hub.Config{CacheDir: os.Getenv(proxyChild), Wait: time.Millisecond}, hub.Source{Input: "https://data.invalid/rows.jsonl"})
	fmt.Println(err)
}

func TestAProxyOfTheEnvironmentIsUsed(t *testing.T) {
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), proxyChild+"="+t.TempDir(), "HTTPS_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=", "https_proxy=")
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Forbidden") {
		t.Errorf("it said %s, %v", out, err)
	}
	if got := <-asked; got != "CONNECT data.invalid:443" {
		t.Errorf("the proxy was asked %s", got)
	}
}
