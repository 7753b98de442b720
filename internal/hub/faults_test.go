package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

const big = 3 << 20

// addBig gives a hub a dataset with one large file.
func addBig(s *hubtest.Server) (data string) {
	var b strings.Builder
	for i := 0; b.Len() < big; i++ {
		fmt.Fprintf(&b, "row %d\n", i)
	}
	s.Add("me/big", hubtest.Repo{Files: map[string]string{"train.parquet": b.String()}})
	return b.String()
}

func TestADownloadThatIsCutGoesOnWhereItEnded(t *testing.T) {
	s := hubtest.Start(t)
	data := addBig(s)
	s.Disturb(hubtest.Disturbance{Path: "/objects/", Times: 2, Handle: hubtest.Cut(1 << 20)})
	got := mustFetch(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"})
	if texts(t, got.Files)[0] != data {
		t.Error("another file came")
	}
	var ranges []string
	for _, r := range s.Requests() {
		if r.Host == "storage" {
			ranges = append(ranges, r.Range)
		}
	}
	if len(ranges) != 3 || ranges[0] != "" || ranges[1] != "bytes=1048576-" || ranges[2] != "bytes=2097152-" {
		t.Errorf("it was asked for the ranges %q", ranges)
	}
}

func TestALaterProcessGoesOnWithADownload(t *testing.T) {
	s := hubtest.Start(t)
	data := addBig(s)
	cfg := configOf(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	s.Disturb(hubtest.Disturbance{Path: "/objects/", Times: 1, Handle: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Header().Set("ETag", `"one"`) // the storage host has another one later, as where a file was moved
		_, _ = w.Write([]byte(data[:3<<19]))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}})
	cfg.Progress = func(_ string, done, _ int64) {
		if done > 0 {
			cancel()
		}
	}
	if _, err := hub.Fetch(ctx, cfg, hub.Source{Input: "hf://datasets/me/big"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first fetch gave %v", err)
	}
	cfg.Progress = nil
	s.Requests()
	if got := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/big"}); texts(t, got.Files)[0] != data {
		t.Error("another file came")
	}
	for _, r := range s.Requests() {
		if r.Host == "storage" && !strings.HasPrefix(r.Range, "bytes=") {
			t.Errorf("it began again: %+v", r)
		}
	}
}

func TestWhatIsNotTheFileThatTheHubListsIsRefused(t *testing.T) {
	for name, answer := range map[string]func(data string) (status int, body string){
		"another content": func(d string) (int, string) { return 200, strings.ToUpper(d) },
		"shorter":         func(d string) (int, string) { return 200, d[:100] },
		"longer":          func(d string) (int, string) { return 200, d + "more" },
		"a web page":      func(string) (int, string) { return 200, "<html><title>Sign in</title>" },
	} {
		t.Run(name, func(t *testing.T) {
			s := hubtest.Start(t)
			status, body := answer(addBig(s))
			s.Disturb(hubtest.Disturbance{Path: "/objects/", Handle: hubtest.Answer(status, body)})
			failing(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"}, "hf://datasets/me/big/train.parquet")
		})
	}
}

func TestAnEndlessBodyEnds(t *testing.T) {
	s := hubtest.Start(t)
	addBig(s)
	s.Disturb(hubtest.Disturbance{Path: "/objects/", Handle: hubtest.Endless()})
	s.Disturb(hubtest.Disturbance{Path: "/endless.jsonl", Handle: hubtest.Endless()})
	cfg := configOf(t, s)
	failing(t, cfg, hub.Source{Input: "hf://datasets/me/big"}, "sends more than")
	cfg.MaxBytes = 5 << 20
	if err := failing(t, cfg, hub.Source{Input: s.URL + "/endless.jsonl"}, "5.0 MiB"); !errors.Is(err, hub.ErrTooLarge) {
		t.Errorf("%v is no ErrTooLarge", err)
	}
}

func TestTooMuchIsRefusedBeforeItComes(t *testing.T) {
	s := hubtest.Start(t)
	addBig(s)
	cfg := configOf(t, s)
	cfg.MaxBytes = big - 1
	if err := failing(t, cfg, hub.Source{Input: "hf://datasets/me/big"}, "3.0 MiB"); !errors.Is(err, hub.ErrTooLarge) {
		t.Errorf("%v is no ErrTooLarge", err)
	}
	cfg.MaxBytes = 0
	cfg.Free = func(string) (int64, error) { return 1 << 20, nil }
	failing(t, cfg, hub.Source{Input: "hf://datasets/me/big"}, "no room", "3.0 MiB are needed and 1.0 MiB are free")
	if asked := paths(s.Requests(), "storage"); len(asked) > 0 {
		t.Errorf("it was asked for: %v", asked)
	}
}

func TestAConnectionThatBringsNothingIsGivenUp(t *testing.T) {
	s := hubtest.Start(t)
	data := addBig(s)
	s.Disturb(hubtest.Disturbance{Path: "/objects/", Times: 1, Handle: hubtest.Stall("row")})
	s.Disturb(hubtest.Disturbance{Path: "/api/", Times: 1, Handle: hubtest.Stall("")})
	cfg := configOf(t, s)
	cfg.Idle = 200 * time.Millisecond
	if got := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/big"}); texts(t, got.Files)[0] != data {
		t.Error("another file came")
	}
}

func TestABusyHubIsAskedAgain(t *testing.T) {
	s := hubtest.Start(t)
	addBig(s)
	for _, fault := range []func(http.ResponseWriter, *http.Request, http.Handler){
		hubtest.Answer(429, "slow down", "Retry-After: 0"), hubtest.Answer(500, ""), hubtest.Answer(502, "<html>"), hubtest.Answer(503, ""), hubtest.Answer(504, ""),
	} {
		s.Disturb(hubtest.Disturbance{Path: "/revision/", Times: 1, Handle: fault})
	}
	mustFetch(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"})
}

func TestHowLongAHubWantsToRestIsHonored(t *testing.T) {
	s := hubtest.Start(t)
	addBig(s)
	s.Disturb(hubtest.Disturbance{Path: "/revision/", Times: 1, Handle: hubtest.Answer(429, "", "Retry-After: 1")})
	begin := time.Now()
	mustFetch(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"})
	if took := time.Since(begin); took < time.Second {
		t.Errorf("it came again after %s", took)
	}
	s.Disturb(hubtest.Disturbance{Path: "/revision/", Handle: hubtest.Answer(429, `{"error":"quota"}`, "Retry-After: 3600")})
	failing(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"}, "429", "come back in 1h0m0s", "HF_TOKEN")
	s = hubtest.Start(t)
	s.Disturb(hubtest.Disturbance{Path: "/revision/", Handle: hubtest.Answer(503, "")})
	failing(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"}, "503", "tried 6 times")
}

func TestAnAnswerThatIsNoneOfTheAPIIsNamed(t *testing.T) {
	for _, c := range []struct {
		path   string
		handle func(http.ResponseWriter, *http.Request, http.Handler)
		say    string
	}{
		{"/revision/", hubtest.Page(), `"Please log in"`},
		{"/tree/", hubtest.Page(), "HF_ENDPOINT"},
		{"/revision/", hubtest.Answer(200, "not JSON"), "none of its API"},
		{"/revision/", hubtest.Answer(200, `{"sha":"../../etc"}`), "no commit"},
		{"/tree/", hubtest.Answer(200, `[{"type":"file","path":"a.csv","size":1,"oid":"../../x"}]`), "without name, size or hash"},
		{"/tree/", hubtest.Answer(200, `[]`, `Link: <https://evil.example/next>; rel="next"`), "another server"},
		{"/tree/", hubtest.Answer(200, `[]`, `Link: <?recursive=true&expand=false>; rel="next"`), "no end"},
		{"/revision/", hubtest.Answer(302, "", "Location: /api/datasets/me/big/revision/main"), "in a circle"},
		{"/revision/", hubtest.Answer(302, "", "Location: ftp://x/y"), "only https://"},
		{"/revision/", hubtest.Answer(302, "", "Location: http://example.com/x"), "is refused"},
	} {
		s := hubtest.Start(t)
		addBig(s)
		s.Disturb(hubtest.Disturbance{Path: c.path, Handle: c.handle})
		failing(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"}, c.say)
	}
}

func TestAFileWhosePathLeadsElsewhereStaysInTheCache(t *testing.T) {
	s := hubtest.Start(t)
	s.Add("me/bad", hubtest.Repo{Files: map[string]string{"../../../../../../tmp/escape.jsonl": "bad", "a\\..\\b:c.jsonl": "worse"}})
	cfg := configOf(t, s)
	got := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/bad"})
	for _, f := range got.Files {
		if !strings.HasPrefix(f, cfg.CacheDir) || strings.Contains(f, "..\\") || strings.Contains(f, "/..") {
			t.Errorf("a file lies at %s", f)
		}
	}
	if diff := cmp.Diff(2, len(got.Files)); diff != "" {
		t.Error(diff)
	}
}

func TestAnAddressOfTheStorageThatHasExpiredIsAskedForAgain(t *testing.T) {
	s := hubtest.Start(t)
	data := addBig(s)
	s.Disturb(hubtest.Disturbance{Path: "/objects/", Times: 1, Handle: hubtest.Answer(http.StatusForbidden, "<Error><Code>ExpiredToken</Code></Error>")})
	if got := mustFetch(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"}); texts(t, got.Files)[0] != data {
		t.Error("another file came")
	}
	s.Disturb(hubtest.Disturbance{Path: "/objects/", Handle: hubtest.Answer(http.StatusForbidden, "")})
	failing(t, configOf(t, s), hub.Source{Input: "hf://datasets/me/big"}, "the host to which its server redirects answers 403", "tried 6 times")
}

// Where no server ever listened no further try helps.
func TestAnAddressWithoutAServerIsSaidAtOnce(t *testing.T) {
	cfg := hub.Config{Endpoint: "http://127.0.0.1:1", CacheDir: t.TempDir(), Wait: time.Hour} // no process that asks for a free port gets this one
	failing(t, cfg, hub.Source{Input: "hf://datasets/me/rows"}, "no server listens there", "HF_ENDPOINT")
}
