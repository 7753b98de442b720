package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/hub/hubtest"
)

// A pusher runs gleaner in a folder of its own, against a hub of its own.
type pusher struct {
	t   *testing.T
	hub *hubtest.Server
	dir string
	env []string
}

func newPusher(t *testing.T) *pusher {
	t.Helper()
	p := &pusher{t: t, hub: hubtest.Start(t), dir: t.TempDir()}
	p.hub.Account(hubToken, "me", true)
	p.env = append(os.Environ(), "HF_ENDPOINT="+p.hub.URL, "HF_TOKEN="+hubToken, "HOME="+p.dir, "HF_HUB_OFFLINE=", "HF_HUB_DISABLE_IMPLICIT_TOKEN=", "TMPDIR="+p.dir)
	p.write("train.jsonl", `{"q": "one", "response": "old"}`+"\n"+`{"q": "two", "response": "old"}`+"\n")
	return p
}

func (p *pusher) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// gleaner runs a command, and returns its exit code and all that it said.
func (p *pusher) gleaner(args ...string) (code int, said string) {
	p.t.Helper()
	cmd := program(p.t, args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		p.t.Fatal(err)
	}
	if strings.Contains(out.String(), hubToken) {
		p.t.Errorf("the token is shown:\n%s", out.String())
	}
	return code, out.String()
}

// says runs a command that ends with a code and says each of the parts.
func (p *pusher) says(code int, args []string, parts ...string) {
	p.t.Helper()
	got, said := p.gleaner(args...)
	if got != code {
		p.t.Errorf("%v ended with %d and not with %d:\n%s", args, got, code, said)
	}
	for _, part := range parts {
		if !strings.Contains(said, part) {
			p.t.Errorf("%v does not say %q:\n%s", args, part, said)
		}
	}
}

// files returns the files of a dataset's last commit.
func (p *pusher) files(id string) map[string]string {
	commits := p.hub.Commits(id)
	if len(commits) == 0 {
		return nil
	}
	return commits[len(commits)-1].Files
}

// pushing are arguments of gleaner run that push.
func pushing(more ...string) []string {
	return append([]string{"run", "--simulate", "--input", "train.jsonl", "--field", "q", "--data", "data", "--out", "hf://datasets/me/answers"}, more...)
}

func TestARunPushesItsDatasetToTheHub(t *testing.T) {
	p := newPusher(t)
	p.says(0, pushing("--run", "r"), "2 lines in "+p.hub.URL+"/datasets/me/answers", "the dataset is private", p.hub.URL+"/datasets/me/answers/settings")
	files := p.files("me/answers")
	if card := files["README.md"]; !strings.Contains(card, "- synthetic") || !strings.Contains(card, "Gleaner's is \"response") || strings.Contains(card, p.dir) {
		t.Errorf("its card:\n%s", card)
	}
	if rows := files["train-00000-of-00001.parquet"]; !strings.HasPrefix(rows, "PAR1") || !p.hub.IsPrivate("me/answers") {
		t.Errorf("it has %v", files)
	}
	if commits := p.hub.Commits("me/answers"); commits[len(commits)-1].Title != "Answers of simulated/sim:latest, run r" {
		t.Errorf("the commit is called %q", commits[len(commits)-1].Title)
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, "data", "push*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}

	// The same again makes no commit, and another layout replaces what the first wrote, and no more.
	before := len(p.hub.Commits("me/answers"))
	p.says(0, pushing("--run", "r"), "2 lines in "+p.hub.URL)
	if after := len(p.hub.Commits("me/answers")); after != before {
		t.Errorf("%d commits after %d", after, before)
	}
	p.hub.Change("me/answers", "main", map[string]string{"notes.md": "theirs"})
	p.says(0, []string{"export", "--store", "sqlite:data/gleaner.db", "--run", "r", "--layout", "chat", "--out", "hf://datasets/me/answers"},
		"2 lines written to "+p.hub.URL+"/datasets/me/answers")
	files = p.files("me/answers")
	if files["notes.md"] != "theirs" || !strings.Contains(files["README.md"], "`messages`") {
		t.Errorf("after the second push it has %v", files)
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, "gleaner-push*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	// What was pushed is an ordinary input.
	p.says(0, []string{"run", "--simulate", "--input", "hf://datasets/me/answers", "--field", "messages", "--data", "again", "--out", "again.jsonl"}, "2 lines in again.jsonl")
}

// What cannot be pushed is said before a row is generated.
func TestWhatCannotBePushedIsSaidBeforeAnythingIsGenerated(t *testing.T) {
	p := newPusher(t)
	p.hub.Add("me/theirs", hubtest.Repo{Files: map[string]string{"README.md": "by hand"}})
	to := func(out string, more ...string) []string {
		return append([]string{"run", "--simulate", "--input", "train.jsonl", "--field", "q", "--data", "data", "--out", out}, more...)
	}
	p.says(1, to("hf://datasets/me/theirs"), "it has README.md, not written by an earlier push", "replace it with --force")
	p.says(1, to("hf://datasets/them/rows"), "the account of HF_TOKEN is me", "push to hf://datasets/me/rows")
	p.says(1, to("hf://datasets/me"), "OWNER/NAME")
	p.says(1, to("hf://datasets/me/rows/train.parquet"), "a push replaces a whole dataset: write hf://datasets/me/rows")
	p.says(1, to("hf://datasets/me/theirs@"+strings.Repeat("ab", 20)), "a push goes to a branch")
	p.says(1, to("hf://datasets/me/theirs@dev"), `no revision "dev"`)
	p.says(1, to("hf://datasets/me/rows", "--csv-safe"), "--csv-safe guards .csv and .tsv files, and hf://datasets/me/rows is none")
	p.says(1, to("hf://datasets/me/rows", "--layout", "openai-batch"), "layout openai-batch is a file of JSON Lines", "not to hf://datasets/me/rows")
	p.says(1, to("https://example.com/rows.parquet"), "this is no file or folder of this machine")
	p.says(2, to("rows.jsonl", "--public"), "give --out hf://datasets/ME/NAME")
	p.env = append(p.env, "HF_TOKEN=")
	p.says(1, to("hf://datasets/me/rows"), "set HF_TOKEN to a token with the right to write, from "+p.hub.URL+"/settings/tokens")
	if _, err := os.Stat(filepath.Join(p.dir, "data", "gleaner.db")); err == nil {
		t.Error("a run was loaded")
	}
	if p.files("me/rows") != nil {
		t.Error("a dataset was made")
	}
	p.env = append(p.env, "HF_TOKEN="+hubToken)
	p.says(0, to("hf://datasets/me/theirs", "--force"), "2 lines in "+p.hub.URL+"/datasets/me/theirs")
	if p.hub.IsPrivate("me/theirs") || !strings.Contains(p.files("me/theirs")["README.md"], "synthetic") {
		t.Errorf("it has %v", p.files("me/theirs"))
	}
}

func TestAPushThatFailedIsRepeatedByTheSameCommand(t *testing.T) {
	p := newPusher(t)
	p.hub.Disturb(hubtest.Disturbance{Path: "/commit/", Times: 1, Handle: hubtest.Answer(http.StatusBadRequest, `{"error":"not today"}`)})
	p.says(1, pushing("--public"), "not today", "The answers are stored: the same command pushes them again")
	p.says(0, pushing("--public"), "0 answers were made just now", "2 lines in "+p.hub.URL)
	if p.hub.IsPrivate("me/answers") {
		t.Error("it is private")
	}
}

// Each of several runs has a dataset of its own.
func TestSeveralRunsPushADatasetEach(t *testing.T) {
	p := newPusher(t)
	p.says(0, pushing("--model", "a", "--model", "b"), p.hub.URL+"/datasets/me/answers-a", p.hub.URL+"/datasets/me/answers-b")
	for _, id := range []string{"me/answers-a", "me/answers-b"} {
		if p.files(id)["README.md"] == "" {
			t.Errorf("%s has %v", id, p.files(id))
		}
	}
}
