package hub_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
	"gleaner/internal/needtest"
)

// A realClient is the library of Hugging Face itself, for which the hub of the tests has to be a
// hub: what it cannot work with proves nothing about our own client.
type realClient struct {
	python string
	env    []string
}

func startRealClient(t *testing.T, s *hubtest.Server, module string) realClient {
	t.Helper()
	python := needtest.Env(t, "HUB_TEST_PYTHON", "give the path of a Python in which `pip install datasets` was run")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import "+module).CombinedOutput(); err != nil {
		needtest.Skip(t, "HUB_TEST_PYTHON=%s has no module %s (pip install %s): %s", python, module, module, out)
	}
	home := t.TempDir()
	return realClient{python, append(os.Environ(),
		"HF_ENDPOINT="+s.URL, "HF_TOKEN="+token, "HF_HOME="+home, "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_TELEMETRY=1",
		"HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_HUB_DISABLE_UPDATE_CHECK=1", "HF_HUB_OFFLINE=0", "PYTHONWARNINGS=ignore",
		"HF_HUB_CACHE="+filepath.Join(home, "hub"), "HF_DATASETS_CACHE="+filepath.Join(home, "datasets"))}
}

func (c realClient) run(t *testing.T, answer any, script string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.python, append([]string{filepath.Join("testdata", script)}, args...)...)
	command.Env = c.env
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", script, args, err, problems.String())
	}
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatalf("%s %v said %s: %v", script, args, out, err)
	}
}

func digestsOf(files map[string]string) map[string]string {
	digests := map[string]string{}
	for path, text := range files {
		sum := sha256.Sum256([]byte(text))
		digests[path] = hex.EncodeToString(sum[:])
	}
	return digests
}

func TestTheRealLibraryDownloadsFromTheHubOfTheTests(t *testing.T) {
	s, cfg := startForPush(t)
	client := startRealClient(t, s, "huggingface_hub")
	commit := addGSM8K(s)
	s.PageSize = 3
	s.Add("them/gated", hubtest.Repo{Gated: true, Files: map[string]string{"README.md": "gated"}})
	s.Add("them/private", hubtest.Repo{Private: true, Files: map[string]string{"README.md": "private"}})
	var got struct {
		Files        map[string]string
		Listed, Refs []string
		SHA          string
	}
	client.run(t, &got, "client.py", "download", gsm8k)
	want := s.Commits(gsm8k)[0].Files
	if diff := cmp.Diff(digestsOf(want), got.Files); diff != "" || got.SHA != commit || len(got.Listed) != len(want) || !slices.Equal(got.Refs, []string{"main"}) {
		t.Errorf("it saw %+v: %s", got, diff)
	}
	for _, r := range s.Requests() {
		if r.Host == "storage" && r.Authorization != "" {
			t.Errorf("the real library sent its token to the storage host: %+v", r)
		}
	}
	var named map[string]string
	client.run(t, &named, "client.py", "errors")
	if diff := cmp.Diff(map[string]string{"gated": "GatedRepoError", "private": "RepositoryNotFoundError", "revision": "RevisionNotFoundError", "file": "RemoteEntryNotFoundError"}, named); diff != "" {
		t.Error(diff)
	}
	// What it has downloaded is read when offline.
	cfg.Offline, cfg.HubCache = true, strings.TrimPrefix(client.env[slices.IndexFunc(client.env, func(e string) bool { return strings.HasPrefix(e, "HF_HUB_CACHE=") && e != "HF_HUB_CACHE=" })], "HF_HUB_CACHE=")
	offline := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/openai/gsm8k", Subset: "socratic", Split: "test"})
	if text := texts(t, offline.Files)[0]; offline.Revision != commit || text != want["socratic/test-00000-of-00001.parquet"] {
		t.Errorf("offline it is %+v", offline)
	}
}

func TestTheRealLibraryUploadsToTheHubOfTheTests(t *testing.T) {
	for _, partSize := range []int64{0, 1000} {
		s, cfg := startForPush(t)
		s.PartSize = partSize
		client := startRealClient(t, s, "huggingface_hub")
		files := map[string]string{"README.md": exportCard, "data/train-00000-of-00001.parquet": strings.Repeat("row ", 2000), "empty.jsonl": ""}
		var got struct{ Commit, Again, Name string }
		client.run(t, &got, "client.py", "upload", "me/python", folderOf(t, files))
		if diff := cmp.Diff(files, filesOf(s, "me/python")); diff != "" || got.Commit != got.Again || got.Name != "me" || !s.IsPrivate("me/python") {
			t.Errorf("it saw %+v: %s", got, diff)
		}
		fetched := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/python/data"})
		if texts(t, fetched.Files)[0] != files["data/train-00000-of-00001.parquet"] || fetched.Revision != got.Commit {
			t.Errorf("ours fetched %+v", fetched)
		}
	}
}

func TestTheRealLibraryDownloadsWhatWePush(t *testing.T) {
	s, cfg := startForPush(t)
	client := startRealClient(t, s, "huggingface_hub")
	files := map[string]string{"README.md": exportCard, "train-00000-of-00001.parquet": strings.Repeat("row ", 2000), "more/a b#c%.jsonl": "{}"}
	commit := mustUpload(t, cfg, hub.Push{Repo: "me/rows", Folder: folderOf(t, files)}).Commit
	var got struct {
		Files map[string]string
		SHA   string
	}
	client.run(t, &got, "client.py", "download", "me/rows")
	delete(got.Files, ".gitattributes")
	delete(got.Files, ".gleaner-push.json")
	if diff := cmp.Diff(digestsOf(files), got.Files); diff != "" || got.SHA != commit {
		t.Errorf("it saw %s: %s", got.SHA, diff)
	}
}

// randomRepos makes datasets without a card, of names that may or may not say a split.
func randomRepos(count int) []hubtest.Repo {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	name := func() string {
		word := pick("train", "test", "validation", "dev", "val", "eval", "rows", "contest", "trainer", "a", "b")
		return pick("", "", "my-", "x_", "1.") + word + pick("", "", "", "-1", "_x", "s", " 2", "-00000-of-00001")
	}
	var repos []hubtest.Repo
	for range count {
		files := map[string]string{}
		for range 1 + random.IntN(5) {
			path := name() + pick(".jsonl", ".jsonl", ".csv", ".parquet", ".json.gz")
			for range random.IntN(3) {
				path = pick(name(), "data", "data", ".git", "__x__") + "/" + path
			}
			files[path] = path
		}
		repos = append(repos, hubtest.Repo{Files: files})
	}
	return repos
}

// Each split that the real library finds in the datasets of the table, and in random ones, is found
// here, with the same files.
func TestTheRealLibraryFindsTheSameSplits(t *testing.T) {
	s, cfg := startForPush(t)
	client := startRealClient(t, s, "datasets")
	var repos []string
	add := func(r hubtest.Repo) {
		repos = append(repos, fmt.Sprintf("me/case-%d", len(repos)))
		s.Add(repos[len(repos)-1], r)
	}
	fails := map[string]bool{}
	for _, c := range splitCases() {
		if !c.differs {
			add(c.repo())
			fails[repos[len(repos)-1]] = strings.HasPrefix(c.want, "! ")
		}
	}
	for _, r := range randomRepos(25) {
		add(r)
	}
	var found map[string]json.RawMessage
	client.run(t, &found, "splits.py", repos...)
	compared := 0
	for _, repo := range repos {
		var splits []struct {
			Subset, Split string
			Files         []string
		}
		if err := json.Unmarshal(found[repo], &splits); err != nil {
			if got, ours := hub.Fetch(t.Context(), cfg, hub.Source{Input: "hf://datasets/" + repo}); ours == nil && !fails[repo] {
				t.Errorf("%s %v: we read %v, and the real library says %s", repo, s.Commits(repo)[0].Files, got.Shown, found[repo])
			}
			continue
		}
		for _, want := range splits {
			got, err := hub.Fetch(t.Context(), cfg, hub.Source{Input: "hf://datasets/" + repo, Subset: want.Subset, Split: want.Split})
			if err != nil {
				t.Errorf("%s, %s, %s: %v", repo, want.Subset, want.Split, err)
				continue
			}
			files := texts(t, got.Files)
			slices.Sort(files)
			slices.Sort(want.Files)
			if diff := cmp.Diff(slices.Compact(want.Files), files); diff != "" {
				t.Errorf("%s %v, %s, %s: %s", repo, slices.Sorted(maps.Keys(s.Commits(repo)[0].Files)), want.Subset, want.Split, diff)
			}
			compared++
		}
	}
	if compared < 50 {
		t.Errorf("only %d splits were compared", compared)
	}
}
