package hub_test

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

const exportCard = "---\nconfigs:\n- config_name: default\n  data_files: '*.parquet'\n---\n# Rows\n"

// folderOf writes files into a new folder.
func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for path, text := range files {
		file := filepath.Join(folder, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// startForPush is a hub on which the token may write datasets of me.
func startForPush(t *testing.T) (*hubtest.Server, hub.Config) {
	t.Helper()
	s := hubtest.Start(t)
	s.Account(token, "me", true)
	cfg := configOf(t, s)
	cfg.Token = token
	return s, cfg
}

func mustUpload(t *testing.T, cfg hub.Config, push hub.Push) hub.Pushed {
	t.Helper()
	if err := hub.CheckPush(t.Context(), cfg, push); err != nil {
		t.Fatal(err)
	}
	done, err := hub.Upload(t.Context(), cfg, push)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func failingUpload(t *testing.T, cfg hub.Config, push hub.Push, parts ...string) error {
	t.Helper()
	done, err := hub.Upload(t.Context(), cfg, push)
	if err == nil {
		t.Fatalf("the push to %s worked, want an error", done.URL)
	}
	mustSay(t, err, parts...)
	return err
}

// filesOf returns the files of a dataset's last commit but those that the hub and the push keep.
func filesOf(s *hubtest.Server, id string) map[string]string {
	commits := s.Commits(id)
	files := maps.Clone(commits[len(commits)-1].Files)
	delete(files, ".gitattributes")
	delete(files, ".gleaner-push.json")
	return files
}

func TestAFolderBecomesADatasetThatCanBeFetched(t *testing.T) {
	for _, c := range []struct {
		name     string
		partSize int64
	}{{"whole files", 0}, {"in parts", 1000}} {
		t.Run(c.name, func(t *testing.T) {
			s, cfg := startForPush(t)
			s.PartSize = c.partSize
			files := map[string]string{"README.md": exportCard, "train-00000-of-00002.parquet": strings.Repeat("one ", 2000), "train-00001-of-00002.parquet": "two", "more/empty.jsonl": ""}
			folder := folderOf(t, files)
			if err := os.WriteFile(filepath.Join(folder, ".hidden"), []byte("stays here"), 0o600); err != nil {
				t.Fatal(err)
			}
			told := int64(0)
			cfg.Progress = func(_ string, done, total int64) { told = max(told, done) }
			done := mustUpload(t, cfg, hub.Push{Repo: "hf://datasets/me/rows", Folder: folder, Message: "Answers of a run\n\nMore about it"})
			commit := done.Commit
			if done.URL != s.URL+"/datasets/me/rows" || !done.Private || !s.IsPrivate("me/rows") {
				t.Errorf("it is at %s, private: %v, %v", done.URL, done.Private, s.IsPrivate("me/rows"))
			}
			if told != 8000 {
				t.Errorf("the progress of the large file ended at %d bytes", told)
			}
			if diff := cmp.Diff(files, filesOf(s, "me/rows")); diff != "" {
				t.Error(diff)
			}
			commits := s.Commits("me/rows")
			if last := commits[len(commits)-1]; len(commits) != 2 || last.OID != commit || last.Title != "Answers of a run" {
				t.Errorf("there are %d commits, the last is %s %q", len(commits), last.OID, last.Title)
			}
			got := mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/rows"})
			if diff := cmp.Diff([]string{files["train-00000-of-00002.parquet"], "two"}, texts(t, got.Files)); diff != "" || got.Revision != commit {
				t.Error(got.Revision, diff)
			}
			for _, r := range s.Requests() {
				if r.Host == "storage" && r.Authorization != "" {
					t.Errorf("the storage host got the token: %+v", r)
				}
			}
			if again := mustUpload(t, cfg, hub.Push{Repo: "me/rows", Folder: folder, Public: true}); again.Commit != commit || !again.Private || len(s.Commits("me/rows")) != 2 {
				t.Errorf("the same push again made a commit: %+v after %s", again, commit)
			}
			for _, r := range paths(s.Requests(), "hub") {
				if strings.HasPrefix(r, "POST") {
					t.Errorf("the same push again did %s", r)
				}
			}
		})
	}
}

func TestALaterPushReplacesOnlyWhatAnEarlierOneWrote(t *testing.T) {
	s, cfg := startForPush(t)
	push := hub.Push{Repo: "me/rows", Folder: folderOf(t, map[string]string{"README.md": exportCard, "train-00000-of-00002.parquet": "one", "train-00001-of-00002.parquet": "two"})}
	mustUpload(t, cfg, push)
	s.Change("me/rows", "main", map[string]string{"theirs.jsonl": "theirs", "notes.md": "mine"})
	push.Folder = folderOf(t, map[string]string{"README.md": exportCard + "better", "train-00000-of-00001.parquet": "all"})
	mustUpload(t, cfg, push)
	want := map[string]string{"README.md": exportCard + "better", "train-00000-of-00001.parquet": "all", "theirs.jsonl": "theirs", "notes.md": "mine"}
	if diff := cmp.Diff(want, filesOf(s, "me/rows")); diff != "" {
		t.Error(diff)
	}

	before := len(s.Commits("me/rows"))
	push.Folder = folderOf(t, map[string]string{"theirs.jsonl": "ours"})
	if err := failingUpload(t, cfg, push, "theirs.jsonl", "not written by an earlier push", s.URL+"/datasets/me/rows/tree/main"); !errors.Is(err, hub.ErrNotOurs) {
		t.Errorf("%v is no ErrNotOurs", err)
	}
	s.Change("me/rows", "main", map[string]string{"README.md": "a person has written here"})
	push.Folder = folderOf(t, map[string]string{"README.md": exportCard, "train-00000-of-00001.parquet": "all"})
	failingUpload(t, cfg, push, "it has README.md,")
	push.Folder = folderOf(t, map[string]string{"train-00000-of-00001.parquet": "all"})
	failingUpload(t, cfg, push, "it has README.md,") // it would be deleted
	if after := len(s.Commits("me/rows")); after != before+1 {
		t.Errorf("there are %d commits after %d and one by hand", after, before)
	}
}

func TestADatasetOfSomeoneElseIsNotPushedInto(t *testing.T) {
	s, cfg := startForPush(t)
	s.Add("me/old", hubtest.Repo{Files: map[string]string{"README.md": "by hand"}})
	s.Add("them/rows", hubtest.Repo{})
	folder := folderOf(t, map[string]string{"README.md": exportCard})
	failingUpload(t, cfg, hub.Push{Repo: "me/old", Folder: folder}, "README.md", "not written by an earlier push")
	failingUpload(t, cfg, hub.Push{Repo: "them/rows", Folder: folder}, "403", "write")
	failingUpload(t, cfg, hub.Push{Repo: "them/new", Folder: folder}, "403", "namespace")
	failingUpload(t, cfg, hub.Push{Repo: "me/old@dev", Folder: folder}, `no revision "dev"`)
}

func TestWhatCannotBePushedIsSaidBeforeAnythingIsSent(t *testing.T) {
	s, cfg := startForPush(t)
	folder := folderOf(t, map[string]string{"README.md": exportCard})
	linked := folderOf(t, map[string]string{"README.md": exportCard})
	if err := os.Symlink("/etc/passwd", filepath.Join(linked, "train.jsonl")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*hub.Config, *hub.Push)
		say    string
	}{
		{func(c *hub.Config, _ *hub.Push) { c.Token = "" }, "set HF_TOKEN"},
		{func(c *hub.Config, _ *hub.Push) { c.Offline = true }, "HF_HUB_OFFLINE"},
		{func(c *hub.Config, _ *hub.Push) { c.Endpoint = "http://hub.example.com" }, "over https:// only"},
		{func(_ *hub.Config, p *hub.Push) { p.Repo = "rows" }, "OWNER/NAME"},
		{func(_ *hub.Config, p *hub.Push) { p.Repo = "hf://datasets/me/rows/train.csv" }, "write hf://datasets/me/rows"},
		{func(_ *hub.Config, p *hub.Push) { p.Repo = "hf://me/rows" }, "hf://datasets/me/rows"},
		{func(_ *hub.Config, p *hub.Push) { p.Repo = "me/rows@refs/pr/1" }, "a push goes to a branch"},
		{func(_ *hub.Config, p *hub.Push) { p.Folder = t.TempDir() }, "no files"},
		{func(_ *hub.Config, p *hub.Push) { p.Folder = filepath.Join(folder, "README.md") }, "no folder"},
		{func(_ *hub.Config, p *hub.Push) { p.Folder = linked }, "train.jsonl is no regular file"},
		{func(_ *hub.Config, p *hub.Push) { p.Folder = filepath.Join(folder, "none") }, "no such file"},
	} {
		cfg, push := cfg, hub.Push{Repo: "me/rows", Folder: folder}
		c.change(&cfg, &push)
		failingUpload(t, cfg, push, c.say)
		if push.Folder != folder {
			continue
		}
		if err := hub.CheckPush(t.Context(), cfg, push); err == nil {
			t.Errorf("%+v is found out too late", push)
		}
	}
	if asked := s.Requests(); len(asked) > 0 {
		t.Errorf("%+v was sent", asked)
	}
}

// What a push would refuse is found out before there is anything to push, and nothing is changed.
func TestAPushIsCheckedBeforeThereIsAFolder(t *testing.T) {
	s, cfg := startForPush(t)
	s.Account("hf_readonly", "me", false)
	s.Add("me/old", hubtest.Repo{Files: map[string]string{"train-00000-of-00001.parquet": "by hand", "notes.md": "theirs"}})
	claims := []string{"README.md", "train-*-of-*.parquet"}
	for _, c := range []struct {
		repo, token string
		force       bool
		say         []string
	}{
		{"me/new", token, false, nil},
		{"Me/new", token, false, nil},
		{"me/new", "hf_readonly", false, []string{"may only read", s.URL + "/settings/tokens"}},
		{"me/new", "hf_wrong", false, []string{"does not accept HF_TOKEN (401)"}},
		{"them/new", token, false, []string{"the account of HF_TOKEN is me, which is not in them: push to hf://datasets/me/new"}},
		{"me/old", token, false, []string{"it has train-00000-of-00001.parquet, not written by an earlier push", "replace it with --force"}},
		{"me/old", token, true, nil},
		{"me/old@dev", token, false, []string{`no revision "dev"`}},
		{"me/new@dev", token, false, []string{"the hub knows no dataset hf://datasets/me/new@dev"}},
	} {
		cfg.Token = c.token
		err := hub.CheckPush(t.Context(), cfg, hub.Push{Repo: c.repo, Claims: claims, Force: c.force})
		if (err == nil) != (c.say == nil) {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil {
			mustSay(t, err, c.say...)
		}
	}
	s.Disturb(hubtest.Disturbance{Path: "whoami", Handle: hubtest.Answer(http.StatusNotFound, "")})
	cfg.Token = token
	if err := hub.CheckPush(t.Context(), cfg, hub.Push{Repo: "them/new"}); err != nil {
		t.Errorf("a mirror that does not say whose the token is: %v", err)
	}
	for _, r := range s.Requests() {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			t.Errorf("%s %s was asked", r.Method, r.Path)
		}
	}
}

// With force the dataset is the folder, but for what has nothing to do with it.
func TestForceReplacesWhatNoPushWrote(t *testing.T) {
	s, cfg := startForPush(t)
	s.Add("me/old", hubtest.Repo{Files: map[string]string{"README.md": "by hand", "train-00003-of-00004.parquet": "by hand", "notes.md": "theirs"}})
	push := hub.Push{Repo: "me/old", Folder: folderOf(t, map[string]string{"README.md": exportCard, "train-00000-of-00001.parquet": "rows"}), Claims: []string{"README.md", "train-*-of-*.parquet"}}
	failingUpload(t, cfg, push, "it has README.md, train-00003-of-00004.parquet, not written by an earlier push")
	push.Force = true
	if done := mustUpload(t, cfg, push); done.Private {
		t.Error("it became private")
	}
	want := map[string]string{"README.md": exportCard, "train-00000-of-00001.parquet": "rows", "notes.md": "theirs"}
	if diff := cmp.Diff(want, filesOf(s, "me/old")); diff != "" {
		t.Error(diff)
	}
	s.Change("me/old", "main", map[string]string{"train-00000-of-00001.parquet": "changed"})
	push.Force, push.Folder = false, folderOf(t, map[string]string{"README.md": exportCard})
	failingUpload(t, cfg, push, "it has train-00000-of-00001.parquet, not written by an earlier push or changed since then")
}

// A push that was interrupted sends only what is missing.
func TestAPushGoesOnWhereItWasInterrupted(t *testing.T) {
	s, cfg := startForPush(t)
	push := hub.Push{Repo: "me/rows", Folder: folderOf(t, map[string]string{"a.parquet": strings.Repeat("a", 5000), "b.parquet": strings.Repeat("b", 5000)})}
	s.Disturb(hubtest.Disturbance{Path: "/commit/", Times: 1, Handle: hubtest.Answer(http.StatusBadRequest, `{"error":"not today"}`)})
	failingUpload(t, cfg, push, "not today")
	before := len(paths(s.Requests(), "storage"))
	mustUpload(t, cfg, push)
	if sent := len(paths(s.Requests(), "storage")); before == 0 || sent != 0 {
		t.Errorf("%d requests to the storage host, and %d the second time", before, sent)
	}
}

func TestAPushSurvivesFaults(t *testing.T) {
	s, cfg := startForPush(t)
	s.PartSize = 1000
	for _, path := range []string{"/revision/", "/preupload/", "/objects/batch", "/objects/", "/info/lfs/complete", "/info/lfs/verify", "/commit/"} {
		s.Disturb(hubtest.Disturbance{Path: path, Times: 1, Handle: hubtest.Answer(http.StatusServiceUnavailable, "")})
	}
	// The commit is made, and the answer lost.
	s.Disturb(hubtest.Disturbance{Path: "/commit/", Times: 1, Handle: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&deaf{}, r)
		panic(http.ErrAbortHandler)
	}})
	files := map[string]string{"README.md": exportCard, "train.parquet": strings.Repeat("row ", 1000)}
	commit := mustUpload(t, cfg, hub.Push{Repo: "me/rows", Folder: folderOf(t, files)}).Commit
	commits := s.Commits("me/rows")
	if len(commits) != 2 || commits[1].OID != commit {
		t.Errorf("there are %d commits, and %s was returned", len(commits), commit)
	}
	if diff := cmp.Diff(files, filesOf(s, "me/rows")); diff != "" {
		t.Error(diff)
	}
}

// deaf is a response that does not arrive.
type deaf struct{ header http.Header }

func (d *deaf) Header() http.Header {
	if d.header == nil {
		d.header = http.Header{}
	}
	return d.header
}
func (d *deaf) Write(p []byte) (int, error) { return len(p), nil }
func (d *deaf) WriteHeader(int)             {}

func TestACommitOfSomeoneElseInBetweenIsKept(t *testing.T) {
	s, cfg := startForPush(t)
	mustUpload(t, cfg, hub.Push{Repo: "me/rows", Folder: folderOf(t, map[string]string{"a.jsonl": "a"})})
	s.Disturb(hubtest.Disturbance{Path: "/commit/", Times: 1, Handle: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		s.Change("me/rows", "main", map[string]string{"theirs.jsonl": "theirs"})
		next.ServeHTTP(w, r)
	}})
	mustUpload(t, cfg, hub.Push{Repo: "me/rows", Folder: folderOf(t, map[string]string{"a.jsonl": "b"})})
	if diff := cmp.Diff(map[string]string{"a.jsonl": "b", "theirs.jsonl": "theirs"}, filesOf(s, "me/rows")); diff != "" {
		t.Error(diff)
	}
}

func TestAnAnswerToAPushThatIsNoneEndsIt(t *testing.T) {
	for _, c := range []struct {
		path, body, say string
		status          int
	}{
		{"/preupload/", `{"files":[]}`, "how to send them", 200},
		{"/objects/batch", `{"objects":[]}`, "where 1 files go", 200},
		{"/objects/batch", `{"objects":[{"oid":"OID","size":3,"error":{"code":422,"message":"too much"}}]}`, "too much", 200},
		{"/objects/batch", `{"objects":[{"oid":"OID","size":3,"actions":{"upload":{"href":"http://example.com/x"}}}]}`, "is refused", 200},
		{"/objects/batch", `{"objects":[{"oid":"OID","size":3,"actions":{"upload":{"href":"HUB/x","header":{"chunk_size":"0"}}}}]}`, "its parts have 0 bytes", 200},
		{"/objects/batch", `{"objects":[{"oid":"OID","size":3,"actions":{"upload":{"href":"HUB/x","header":{"chunk_size":"2","1":"HUB/y"}}}}]}`, "404", 200},
		{"/commit/", `{"error":"the YAML of the card is wrong"}`, "the YAML of the card is wrong", 400},
	} {
		s, cfg := startForPush(t)
		body := strings.NewReplacer("HUB", s.URL, "OID", "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3").Replace(c.body) // of "two"
		s.Disturb(hubtest.Disturbance{Path: c.path, Handle: hubtest.Answer(c.status, body)})
		failingUpload(t, cfg, hub.Push{Repo: "me/rows", Folder: folderOf(t, map[string]string{"train.parquet": "two"})}, c.say)
	}
	s, cfg := startForPush(t)
	failingUpload(t, cfg, hub.Push{Repo: "me/rows", Folder: folderOf(t, map[string]string{"a.ignored": "x"})}, ".gitignore")
	if got := slices.Collect(maps.Keys(filesOf(s, "me/rows"))); len(got) > 0 {
		t.Errorf("it has %v", got)
	}
}
