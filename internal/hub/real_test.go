package hub_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	_, commit := mustUpload(t, cfg, hub.Push{Repo: "me/rows", Folder: folderOf(t, files), Private: true})
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

// What the real library finds in each dataset of the table is what the table says.
func TestTheRealLibraryFindsTheSameSplits(t *testing.T) {
	s := hubtest.Start(t)
	s.Account(token, "me", true)
	client := startRealClient(t, s, "datasets")
	var repos []string
	for i, c := range splitCases() {
		repos = append(repos, fmt.Sprintf("me/case-%d", i))
		s.Add(repos[i], c.repo())
	}
	var found map[string]json.RawMessage
	client.run(t, &found, "splits.py", repos...)
	for i, c := range splitCases() {
		var splits [][3]json.RawMessage
		if err := json.Unmarshal(found[repos[i]], &splits); err != nil {
			t.Logf("%s: %s", c.name, found[repos[i]])
			if !strings.HasPrefix(c.want, "! ") {
				t.Errorf("%s: we read it, and the real library does not", c.name)
			}
			continue
		}
		for _, one := range splits {
			t.Logf("%s (want %s): %s", c.name, c.want, one)
		}
	}
}
