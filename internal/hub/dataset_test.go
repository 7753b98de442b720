package hub_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

func TestASubsetAndASplitOfADatasetAreFetchedOnce(t *testing.T) {
	s := hubtest.Start(t)
	commit := addGSM8K(s)
	cfg := configOf(t, s)
	source := hub.Source{Input: "hf://datasets/openai/gsm8k", Subset: "main", Split: "train"}
	got := mustFetch(t, cfg, source)
	want := hub.Fetched{
		Name: "hf://datasets/openai/gsm8k", Revision: commit, Subset: "main", Split: "train",
		Shown: []string{"hf://datasets/openai/gsm8k/main/train-00000-of-00001.parquet"}, Files: got.Files,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if text := texts(t, got.Files)[0]; !strings.HasPrefix(text, "PAR1 main train") || len(text) < 200_000 {
		t.Errorf("the file has %d bytes: %.20q", len(text), text)
	}
	if name := filepath.Base(got.Files[0]); name != "train-00000-of-00001.parquet" {
		t.Errorf("the file is called %s", name)
	}
	s.Requests()
	if again := mustFetch(t, cfg, source); !cmp.Equal(again, got) {
		t.Error(cmp.Diff(got, again))
	}
	wantPaths := []string{"GET /api/datasets/openai/gsm8k/revision/main"}
	if diff := cmp.Diff(wantPaths, paths(s.Requests(), "hub")); diff != "" {
		t.Errorf("the second fetch asks for more than the commit: %s", diff)
	}
	source.Input = "hf://datasets/openai/gsm8k@" + commit
	mustFetch(t, cfg, source)
	if asked := s.Requests(); len(asked) > 0 {
		t.Errorf("a commit that is in the cache was asked for: %+v", asked)
	}
}

func TestWhichSubsetsAndSplitsThereAreIsInTheError(t *testing.T) {
	s := hubtest.Start(t)
	addGSM8K(s)
	cfg := configOf(t, s)
	for _, c := range []struct {
		source hub.Source
		say    []string
	}{
		{hub.Source{}, []string{"main, socratic", "--subset main"}},
		{hub.Source{Subset: "mian"}, []string{`no subset "mian"`, "did you mean main? it has main, socratic"}},
		{hub.Source{Subset: "algebra"}, []string{"it has main, socratic"}},
		{hub.Source{Subset: "main"}, []string{"subset main", "train, test", "--input-split train"}},
		{hub.Source{Subset: "main", Split: "validation"}, []string{`no split "validation"`, "train, test"}},
		{hub.Source{Subset: "main", Split: "train[:10%]"}, []string{"--limit"}},
	} {
		c.source.Input = "hf://datasets/openai/gsm8k"
		if err := failing(t, cfg, c.source, c.say...); !errors.Is(err, hub.ErrChoose) {
			t.Errorf("%v is no ErrChoose", err)
		}
	}
}

func TestAPathInADatasetIsAFileAFolderOrAPattern(t *testing.T) {
	s := hubtest.Start(t)
	addGSM8K(s)
	s.Change(gsm8k, "main", map[string]string{"more/a2.jsonl": "2", "more/a10.jsonl": "10", "more/b.jsonl": "b", "more/.hidden.jsonl": "h"})
	cfg := configOf(t, s)
	for _, c := range []struct {
		input, split string
		want         []string
	}{
		{"/main/test-00000-of-00001.parquet", "", []string{"main/test-00000-of-00001.parquet"}},
		{"/main", "test", []string{"main/test-00000-of-00001.parquet"}},
		{"/more", "", []string{"more/a2.jsonl", "more/a10.jsonl", "more/b.jsonl"}},
		{"/more/a*.jsonl", "", []string{"more/a2.jsonl", "more/a10.jsonl"}},
		{"/*/test-*", "", []string{"main/test-00000-of-00001.parquet", "socratic/test-00000-of-00001.parquet"}},
	} {
		got := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/openai/gsm8k" + c.input, Split: c.split})
		var shown []string
		for _, f := range got.Shown {
			shown = append(shown, strings.TrimPrefix(f, "hf://datasets/openai/gsm8k/"))
		}
		if diff := cmp.Diff(c.want, shown); diff != "" {
			t.Errorf("%s: %s", c.input, diff)
		}
	}
	failing(t, cfg, hub.Source{Input: "hf://datasets/openai/gsm8k/main/tset-00000-of-00001.parquet"}, "did you mean main/test-00000-of-00001.parquet?")
	failing(t, cfg, hub.Source{Input: "hf://datasets/openai/gsm8k/main", Subset: "main"}, "leave out")
	failing(t, cfg, hub.Source{Input: "hf://datasets/openai/gsm8k/main/test-00000-of-00001.parquet", Split: "test"}, "leave out")
	failing(t, cfg, hub.Source{Input: "hf://datasets/openai/gsm8k/../x"}, `".."`)
}

func TestAPageOfTheHubIsItsDataset(t *testing.T) {
	s := hubtest.Start(t)
	addGSM8K(s)
	cfg := configOf(t, s)
	for _, c := range []struct{ input, name string }{
		{s.URL + "/datasets/openai/gsm8k/viewer/main/test", "hf://datasets/openai/gsm8k"},
		{"https://huggingface.co/datasets/openai/gsm8k/viewer/main/test?row=3", "hf://datasets/openai/gsm8k"},
		{s.URL + "/datasets/openai/gsm8k/blob/main/main/test-00000-of-00001.parquet", "hf://datasets/openai/gsm8k/main/test-00000-of-00001.parquet"},
		{s.URL + "/datasets/openai/gsm8k/raw/main/main/test-00000-of-00001.parquet", "hf://datasets/openai/gsm8k/main/test-00000-of-00001.parquet"},
		{s.URL + "/datasets/openai/gsm8k/resolve/main/main/test-00000-of-00001.parquet?download=true", "hf://datasets/openai/gsm8k/main/test-00000-of-00001.parquet"},
	} {
		got := mustFetch(t, cfg, hub.Source{Input: c.input})
		if got.Name != c.name || !strings.HasPrefix(texts(t, got.Files)[0], "PAR1 main test") {
			t.Errorf("%s gave %+v", c.input, got)
		}
	}
	failing(t, cfg, hub.Source{Input: s.URL + "/datasets/openai/gsm8k/discussions"}, "hf://datasets/OWNER/NAME")
}

func TestARevisionIsABranchATagOrACommit(t *testing.T) {
	s := hubtest.Start(t)
	old := s.Add("me/rows", hubtest.Repo{Files: map[string]string{"train.jsonl": "old"}})
	s.Change("me/rows", "main", map[string]string{"train.jsonl": "new"})
	s.Change("me/rows", "feature/x", map[string]string{"train.jsonl": "feature"})
	s.Change("me/rows", "refs/pr/3", map[string]string{"train.jsonl": "pull request"})
	cfg := configOf(t, s)
	for revision, want := range map[string]string{"": "new", "@main": "new", "@" + old: "old", "@feature%2Fx": "feature", "@refs/pr/3": "pull request", "@refs/pr/3/train.jsonl": "pull request"} {
		if got := texts(t, mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/rows" + revision}).Files)[0]; got != want {
			t.Errorf("%s gave %q, want %q", revision, got, want)
		}
	}
	failing(t, cfg, hub.Source{Input: "hf://datasets/me/rows@mian"}, `no revision "mian"`, "did you mean main?")
}

func TestADatasetHasManyFilesInManyPages(t *testing.T) {
	s := hubtest.Start(t)
	s.PageSize = 7
	files := map[string]string{}
	var want []string
	for i := range 50 {
		files[fmt.Sprintf("part-%d.jsonl", i)] = fmt.Sprintf(`{"a":%d}`, i)
		want = append(want, fmt.Sprintf(`{"a":%d}`, i))
	}
	s.Add("me/rows", hubtest.Repo{Files: files})
	var mu sync.Mutex
	told := map[string]int64{}
	cfg := configOf(t, s)
	cfg.Progress = func(file string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if told[file] = done; done > total {
			t.Errorf("%s: %d of %d bytes", file, done, total)
		}
	}
	got := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/rows"})
	if diff := cmp.Diff(want, texts(t, got.Files)); diff != "" {
		t.Error(diff)
	}
	if told["hf://datasets/me/rows/part-10.jsonl"] != int64(len(`{"a":10}`)) || len(told) != 50 {
		t.Errorf("the progress of %d files was told: %v", len(told), told)
	}
}

func TestEqualFilesOfTwoCommitsAreDownloadedOnce(t *testing.T) {
	s := hubtest.Start(t)
	s.Add("me/rows", hubtest.Repo{Files: map[string]string{"train.parquet": "rows", "README.md": "# Rows"}})
	cfg := configOf(t, s)
	first := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/rows"})
	s.Change("me/rows", "main", map[string]string{"README.md": "# Rows, better described"})
	s.Requests()
	second := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/rows"})
	if first.Revision == second.Revision || !cmp.Equal(first.Files, second.Files) {
		t.Errorf("the second fetch gave %+v after %+v", second, first)
	}
	if asked := paths(s.Requests(), "storage"); len(asked) > 0 {
		t.Errorf("the file was downloaded again: %v", asked)
	}
}

func TestOfflineOnlyTheCacheIsUsed(t *testing.T) {
	s := hubtest.Start(t)
	commit := addGSM8K(s)
	cfg := configOf(t, s)
	train := hub.Source{Input: "hf://datasets/openai/gsm8k", Subset: "main", Split: "train"}
	online := mustFetch(t, cfg, train)
	s.Requests()
	cfg.Offline = true
	if got := mustFetch(t, cfg, train); !cmp.Equal(got, online) || got.Revision != commit {
		t.Error(cmp.Diff(online, got))
	}
	train.Split = "test"
	failing(t, cfg, train, "HF_HUB_OFFLINE", "test-00000")
	failing(t, cfg, hub.Source{Input: "hf://datasets/me/other"}, "HF_HUB_OFFLINE")
	failing(t, cfg, hub.Source{Input: "https://example.com/a.jsonl"}, "HF_HUB_OFFLINE")
	if asked := s.Requests(); len(asked) > 0 {
		t.Errorf("offline, %+v was asked", asked)
	}
}

func TestSeveralFetchesOfTheSameAtOnceDownloadItOnce(t *testing.T) {
	s := hubtest.Start(t)
	s.Add("me/rows", hubtest.Repo{Files: map[string]string{"train.parquet": strings.Repeat("rows ", 1<<20)}})
	cfg := configOf(t, s)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := hub.Fetch(t.Context(), cfg, hub.Source{Input: "hf://datasets/me/rows"})
			if err != nil || len(texts(t, got.Files)[0]) != 5<<20 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if asked := paths(s.Requests(), "storage"); len(asked) != 1 {
		t.Errorf("it was downloaded %d times", len(asked))
	}
}

func TestADatasetThatWasRenamedIsFoundUnderItsOldName(t *testing.T) {
	s := hubtest.Start(t)
	s.Account(token, "me", false)
	commit := s.Add("me/new", hubtest.Repo{Private: true, Files: map[string]string{"train.parquet": "rows"}})
	s.Disturb(hubtest.Disturbance{Path: "/me/old", Handle: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, strings.Replace(r.URL.RequestURI(), "/me/old", "/me/new", 1), http.StatusTemporaryRedirect)
	}})
	cfg := configOf(t, s)
	cfg.Token = token
	if got := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/old"}); got.Revision != commit || texts(t, got.Files)[0] != "rows" {
		t.Errorf("it is %+v", got)
	}
}
