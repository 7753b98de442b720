package hub_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

// A fileServer serves one file, of which a test changes the content.
type fileServer struct {
	etag, data string
	header     http.Header
	cut        int // bytes of the next answer
	asked      []http.Header
}

func (f *fileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked = append(f.asked, r.Header.Clone())
	for name, values := range f.header {
		w.Header()[name] = values
	}
	if f.etag != "" {
		w.Header().Set("ETag", f.etag)
	}
	if cut := f.cut; cut > 0 {
		f.cut = 0
		w.Header().Set("Content-Length", fmt.Sprint(len(f.data)))
		_, _ = w.Write([]byte(f.data[:cut]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte(f.data)))
}

func startFileServer(t *testing.T, f *fileServer) (url string, cfg hub.Config) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL, hub.Config{CacheDir: filepath.Join(t.TempDir(), "cache"), Wait: time.Millisecond}
}

func TestAFileElsewhereIsFetchedAgainOnlyIfItHasChanged(t *testing.T) {
	f := &fileServer{etag: `"one"`, data: `{"a":1}`}
	url, cfg := startFileServer(t, f)
	source := hub.Source{Input: url + "/sets/rows%20of%20me.jsonl?key=secret"}
	first := mustFetch(t, cfg, source)
	if first.Name != "rows_of_me.jsonl" || texts(t, first.Files)[0] != f.data || !strings.HasPrefix(first.Revision, "sha256:") || strings.Contains(first.Shown[0], "secret") {
		t.Errorf("it is %+v", first)
	}
	second := mustFetch(t, cfg, source)
	if second.Files[0] != first.Files[0] || f.asked[1].Get("If-None-Match") != `"one"` {
		t.Errorf("it was asked %v and gave %+v", f.asked, second)
	}
	f.etag, f.data = `"two"`, `{"a":2}`
	third := mustFetch(t, cfg, source)
	if texts(t, third.Files)[0] != `{"a":2}` || third.Revision == first.Revision {
		t.Errorf("the changed file is %+v", third)
	}
	if texts(t, first.Files)[0] != `{"a":1}` {
		t.Error("a file that another run may read has changed")
	}
	cfg.Offline = true
	if got := mustFetch(t, cfg, source); got.Files[0] != third.Files[0] {
		t.Errorf("offline it is %+v", got)
	}
}

func TestAFileThatChangesWhileItIsFetchedBeginsAgain(t *testing.T) {
	f := &fileServer{etag: `"one"`, data: strings.Repeat("old row\n", 100_000), cut: 300_000}
	url, cfg := startFileServer(t, f)
	changed := strings.Repeat("new row\n", 110_000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(f.asked) > 0 {
			f.etag, f.data = `"two"`, changed
		}
		f.ServeHTTP(w, r)
	})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	_ = url
	got := mustFetch(t, cfg, hub.Source{Input: server.URL + "/rows.jsonl"})
	if texts(t, got.Files)[0] != changed {
		t.Error("the file is of two versions")
	}
	if f.asked[1].Get("Range") != "bytes=300000-" || f.asked[1].Get("If-Range") != `"one"` {
		t.Errorf("it was asked with %v", f.asked[1])
	}
}

func TestAServerWithoutRangesIsAskedForTheWholeAgain(t *testing.T) {
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write([]byte(strings.Repeat("x", 500_000)))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte(strings.Repeat("y", 1_000_000)))
	}))
	defer server.Close()
	_, cfg := startFileServer(t, &fileServer{})
	if got := texts(t, mustFetch(t, cfg, hub.Source{Input: server.URL + "/rows.jsonl"}).Files)[0]; got != strings.Repeat("y", 1_000_000) {
		t.Errorf("%d bytes came: %.10s", len(got), got)
	}
}

func TestALengthThatIsNeverReachedEnds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"a":1}`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	_, cfg := startFileServer(t, &fileServer{})
	failing(t, cfg, hub.Source{Input: server.URL + "/rows.jsonl"}, "ended after 7 bytes", "tried 6 times")
}

func TestWhatIsNoDataIsNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(http.ResponseWriter, *http.Request, http.Handler)
		say    []string
	}{
		{"a login", hubtest.Page(), []string{"web page", `"Please log in"`, "download the file in a browser"}},
		{"a page without a kind", hubtest.Answer(200, "\n <!doctype HTML>", "Content-Type: application/octet-stream"), []string{"web page"}},
		{"a pointer", hubtest.Answer(200, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"), []string{"pointer of Git LFS", "git lfs pull"}},
		{"401", hubtest.Answer(401, ""), []string{"401", "wants a login"}},
		{"403", hubtest.Answer(403, "<Error>AccessDenied</Error>"), []string{"403", "has expired"}},
		{"404", hubtest.Answer(404, "<html><title>Nothing here</title></html>", "Content-Type: text/html"), []string{"404", "Nothing here"}},
		{"too large", hubtest.Answer(200, "", "Content-Length: 99999999999999"), []string{"larger than what may be downloaded"}},
		{"a redirect to nothing", hubtest.Answer(302, ""), []string{"no address"}},
	} {
		s := hubtest.Start(t)
		s.Disturb(hubtest.Disturbance{Path: "/f.jsonl", Handle: c.handle})
		t.Run(c.name, func(t *testing.T) { failing(t, configOf(t, s), hub.Source{Input: s.StorageURL + "/f.jsonl"}, c.say...) })
	}
	s := hubtest.Start(t)
	failing(t, configOf(t, s), hub.Source{Input: s.StorageURL + "/f.jsonl", Split: "train"}, "leave out --subset and --input-split")
}

func TestARedirectFromHTTPSToHTTPIsRefused(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a":1}`) }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ok.jsonl" {
			fmt.Fprint(w, `{"a":1}`)
			return
		}
		http.Redirect(w, r, plain.URL+"/rows.jsonl", http.StatusFound)
	}))
	defer secure.Close()
	_, cfg := startFileServer(t, &fileServer{})
	failing(t, cfg, hub.Source{Input: secure.URL + "/ok.jsonl"}, "not trusted", "SSL_CERT_FILE")
	cfg.Client = secure.Client()
	mustFetch(t, cfg, hub.Source{Input: secure.URL + "/ok.jsonl"})
	failing(t, cfg, hub.Source{Input: secure.URL + "/rows.jsonl"}, "from https:// to http://", "is refused")
}

func TestAnAddressOfIPv6IsRead(t *testing.T) {
	f := &fileServer{data: `{"a":1}`, header: http.Header{"Content-Disposition": {`attachment; filename="../../rows.jsonl"`}}}
	server := httptest.NewUnstartedServer(f)
	listener, err := listenIPv6()
	if err != nil {
		t.Log("this machine has no IPv6, so only the parsing is tested:", err)
		_, cfg := startFileServer(t, f)
		failing(t, cfg, hub.Source{Input: "http://[::1]:1/rows.jsonl"}, "[::1]:1")
		return
	}
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	_, cfg := startFileServer(t, f)
	got := mustFetch(t, cfg, hub.Source{Input: server.URL + "/x"})
	if got.Name != "rows.jsonl" || !strings.HasPrefix(got.Files[0], cfg.CacheDir) {
		t.Errorf("it is %+v", got)
	}
}
