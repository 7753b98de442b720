package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/cli"
	"gleaner/internal/hub/hubtest"
)

// hubToken is the key of an account of the hub; no output may show it.
const hubToken = "hf_aVeryLongAndSecretToken"

// hubCard is laid out like the card of GSM8K.
const hubCard = `---
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: socratic
  data_files:
  - split: train
    path: socratic/train-*
---
# Sums
`

// A hubWorld is a hub with a dataset, and a user's home on this machine.
type hubWorld struct {
	hub  *hubtest.Server
	home string
}

// newHubWorld gives a hub a dataset with two subsets, one of them of a Parquet file on the storage
// host.
func newHubWorld(t *testing.T) hubWorld {
	w := hubWorld{hubtest.Start(t), t.TempDir()}
	w.hub.Account(hubToken, "me", false)
	w.hub.Add("me/sums", hubtest.Repo{Private: true, Files: map[string]string{
		"README.md":                     hubCard,
		"main/train-00000.parquet":      w.parquet(t),
		"main/test-00000.jsonl":         "{\"question\": \"2+2?\"}\n{\"question\": null}\n",
		"socratic/train-00000.jsonl":    "{\"question\": \"Why?\"}\n",
		"socratic/train-00001.jsonl.gz": "",
	}})
	return w
}

// parquet returns a file of two rows, as Gleaner writes it.
func (w hubWorld) parquet(t *testing.T) string {
	t.Helper()
	rows, file := filepath.Join(w.home, "rows.jsonl"), filepath.Join(w.home, "rows.parquet")
	if err := os.WriteFile(rows, []byte("{\"question\": \"1+1?\"}\n{\"question\": \"3+3?\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, code := w.run(t, nil, "--input", rows, "--out", file); code != cli.Done {
		t.Fatalf("%d: %s", code, said)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// run runs `gleaner run` in that home, and returns what it said and its exit code.
func (w hubWorld) run(t *testing.T, env []string, args ...string) (said string, code int) {
	t.Helper()
	cmd := program(t, append([]string{"run", "--simulate", "--field", "question", "--sim-speed", "1000", "--data", filepath.Join(w.home, "data")}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, w.home
	cmd.Env = append(os.Environ(), "HOME="+w.home, "XDG_CACHE_HOME="+filepath.Join(w.home, "cache"), "HF_HOME=", "HF_ENDPOINT="+w.hub.URL, "HF_TOKEN="+hubToken, "HF_HUB_OFFLINE=")
	cmd.Env = append(cmd.Env, env...)
	err := cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return out.String(), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), cli.Done
}

func TestADatasetOfTheHubIsAnsweredOnlineAndOffline(t *testing.T) {
	w := newHubWorld(t)
	out := filepath.Join(w.home, "out.jsonl")
	args := []string{"--input", "hf://datasets/me/sums", "--subset", "main", "--input-split", "train", "--out", out, "--run", "sums"}
	said, code := w.run(t, nil, args...)
	if code != cli.Done || !strings.Contains(said, "2 rows of hf://datasets/me/sums") || !strings.Contains(said, "2 lines in "+out) {
		t.Fatalf("%d: %s", code, said)
	}
	if data, err := os.ReadFile(out); err != nil || !strings.Contains(string(data), `"question": "1+1?"`) && !strings.Contains(string(data), `"question":"1+1?"`) {
		t.Errorf("%v: %s", err, data)
	}
	stored := 0
	for _, r := range w.hub.Requests() {
		if r.Host == "storage" {
			stored++
		}
		if (r.Authorization == "Bearer "+hubToken) != (r.Host == "hub") {
			t.Errorf("%s %s of the %s came with the token %q", r.Method, r.Path, r.Host, r.Authorization)
		}
	}
	if stored == 0 {
		t.Error("nothing came from the storage host")
	}

	again := append(args, "--run", "offline", "--out", filepath.Join(w.home, "offline.jsonl"))
	if said, code := w.run(t, []string{"HF_HUB_OFFLINE=1", "HF_TOKEN="}, again...); code != cli.Done || !strings.Contains(said, "2 rows of hf://datasets/me/sums") {
		t.Errorf("offline: %d: %s", code, said)
	}
	if seen := w.hub.Requests(); len(seen) > 0 {
		t.Errorf("offline it asked for %v", seen)
	}
}

func TestWhatADatasetOfTheHubDoesNotHaveIsNamedWithWhatItHas(t *testing.T) {
	w := newHubWorld(t)
	for _, c := range []struct {
		env, args []string
		want      []string
	}{
		{nil, []string{"--input", "hf://datasets/me/sums"}, []string{"--subset main", "socratic"}},
		{nil, []string{"--input", "hf://datasets/me/sums", "--subset", "mian"}, []string{"mian", "main", "socratic"}},
		{nil, []string{"--input", "hf://datasets/me/sums", "--subset", "main"}, []string{"--input-split", "train", "test"}},
		{nil, []string{"--input", "hf://datasets/me/sums", "--subset", "main", "--input-split", "dev"}, []string{"dev", "train", "test"}},
		{nil, []string{"--input", "hf://datasets/me/sums", "--subset", "main", "--input-split", "test"}, []string{"hf://datasets/me/sums/main/test-00000.jsonl, line 2:", "null"}},
		{[]string{"HF_TOKEN="}, []string{"--input", "hf://datasets/me/sums"}, []string{"HF_TOKEN"}},
		{[]string{"HF_HUB_OFFLINE=1"}, []string{"--input", "hf://datasets/me/other"}, []string{"HF_HUB_OFFLINE"}},
		{nil, []string{"--input", "rows.jsonl", "--subset", "main"}, []string{"hf://datasets/OWNER/NAME"}},
	} {
		said, code := w.run(t, c.env, c.args...)
		if code == cli.Done {
			t.Errorf("%v: it went well: %s", c.args, said)
		}
		for _, want := range c.want {
			if !strings.Contains(said, want) {
				t.Errorf("%v %v: it does not say %q:\n%s", c.env, c.args, want, said)
			}
		}
		if strings.Contains(said, hubToken) {
			t.Errorf("%v: it shows the token: %s", c.args, said)
		}
	}
}

func TestAFileOfAnotherServerIsAnsweredAndNeverGetsTheToken(t *testing.T) {
	w := newHubWorld(t)
	var authorized []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		authorized = append(authorized, r.Header.Get("Authorization"))
		_, _ = io.WriteString(rw, "question,n\n\"5+5?\",1\n")
	}))
	defer server.Close()
	certificate := filepath.Join(w.home, "server.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(w.home, "out.jsonl")
	said, code := w.run(t, []string{"SSL_CERT_FILE=" + certificate}, "--input", server.URL+"/rows?key=secret", "--out", out)
	data, _ := os.ReadFile(out)
	if code != cli.Done || !strings.Contains(string(data), `"question":"5+5?"`) || strings.Contains(said, "key=secret") {
		t.Errorf("%d: %s\n%s", code, said, data)
	}
	if got := fmt.Sprintf("%q", authorized); got != `[""]` {
		t.Errorf("it was asked with the tokens %s", got)
	}
}
