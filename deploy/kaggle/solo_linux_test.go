package kaggle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gleaner/internal/ollama/gguftest"
	"gleaner/internal/ollama/ollamatest"
)

// Stand-ins of a session with two T4s, and of one without a GPU.
const (
	twoT4s = "#!/bin/sh\ncase \"$*\" in\n-L) echo 'GPU 0: Tesla T4 (UUID: GPU-solo0)'; echo 'GPU 1: Tesla T4 (UUID: GPU-solo1)' ;;\n" +
		"*) echo '0, GPU-solo0, Tesla T4, 15360'; echo '1, GPU-solo1, Tesla T4, 15360' ;;\nesac\n"
	noT4 = "#!/bin/sh\necho 'No devices were found' >&2\nexit 9\n"
)

// A session is what a hosted notebook finds where it runs. What pip installs stays in it.
type session struct{ machine }

func newSession(t *testing.T, nvidia string, env ...string) session {
	t.Helper()
	m := newMachine(t, map[string]string{"nvidia-smi": nvidia}, env...)
	packages := filepath.Join(m.dir, "packages")
	m.env = append(m.env, "PIP_TARGET="+packages, "PYTHONPATH="+packages, "KAGGLE_KERNEL_RUN_TYPE=Batch", "OLLAMA_NUM_PARALLEL=2", "PYTHONDONTWRITEBYTECODE=1")
	if err := os.MkdirAll(filepath.Join(m.dir, "working"), 0o755); err != nil {
		t.Fatal(err)
	}
	return session{m}
}

// solo executes the notebook with these settings in place of those that stand there.
func (s session) solo(ctx context.Context, t *testing.T, python string, settings map[string]any) notebook {
	t.Helper()
	values, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	var book map[string]any
	content, err := os.ReadFile("solo.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &book); err != nil {
		t.Fatal(err)
	}
	source := book["cells"].([]any)[1].(map[string]any)["source"].([]any)
	const mark = "# ---- From here on"
	changed := false
	for i, line := range source {
		if strings.HasPrefix(line.(string), mark) {
			source[i], changed = fmt.Sprintf("import json\nsettings = json.loads(%q)\n", values), true
		}
	}
	if !changed {
		t.Fatalf("the notebook has no line %q", mark)
	}
	content, err = json.Marshal(book)
	if err != nil {
		t.Fatal(err)
	}
	begun, done := filepath.Join(s.dir, "solo.ipynb"), filepath.Join(s.dir, "executed.ipynb")
	write(t, begun, string(content))
	command := exec.CommandContext(ctx, python, "-c", execute, begun, done)
	command.Dir, command.Env = filepath.Join(s.dir, "working"), s.env
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Run(); err != nil {
		t.Fatalf("Jupyter: %v\n%s", err, &said)
	}
	return read(t, done)
}

// wheel builds one of the wheels of this machine, gleaner_llm or gleaner_consumer.
func wheel(t *testing.T, name string) (path string) {
	t.Helper()
	dist := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "run", "../../internal/tools/release", "--here", "--only=wheels", "--platforms=linux/"+runtime.GOARCH, "--out="+dist)
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the wheel: %v\n%s", err, said)
	}
	found, err := filepath.Glob(filepath.Join(dist, name+"-*.whl"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the wheels are %q, %v", found, err)
	}
	return found[0]
}

// attach puts a file or folder below the datasets of a session.
func (s session) attach(t *testing.T, path, as string) {
	t.Helper()
	to := filepath.Join(s.dir, "input", as)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), "cp", "-r", path, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

// rows writes a dataset of questions and returns its path.
func (s session) rows(t *testing.T, count int) string {
	t.Helper()
	var rows strings.Builder
	for i := range count {
		fmt.Fprintf(&rows, "{\"q\": \"What is %d and 2?\"}\n", i)
	}
	path := filepath.Join(s.dir, "input", "questions", "rows.jsonl")
	write(t, path, rows.String())
	return path
}

// shows fails if the notebook does not show these texts.
func shows(t *testing.T, n notebook, wants ...string) {
	t.Helper()
	shown := n.shown()
	for _, want := range wants {
		if !strings.Contains(shown, want) {
			t.Errorf("the notebook does not show %q but\n%s", want, shown)
		}
	}
}

// One person with one notebook: from the wheel in a dataset to ten answers and a file, without Go;
// the next session goes on from the output of the last one.
func TestOnesOwnNotebook(t *testing.T) {
	python := python(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	wheel := wheel(t, "gleaner_llm")
	attachWheel := func(t *testing.T, s session) {
		s.attach(t, wheel, "gleaner/"+strings.Replace(filepath.Base(wheel), "aarch64", "x86_64", 1))
	}

	t.Run("two sessions", func(t *testing.T) {
		first, second := newSession(t, twoT4s), newSession(t, twoT4s)
		settings := map[string]any{"data": first.rows(t, 300), "field": "q", "simulate": true, "name": "sums"}
		attachWheel(t, first)
		attachWheel(t, second)
		settings["sim_speed"], settings["for_"] = 2, "8s"
		one := first.solo(ctx, t, python, settings)
		isComplete(t, one)
		shows(t, one, "the time of --for is over", "in another session attach the output of this one as input", "q: What is 0 and 2?\nresponse: ", "/working/sums.jsonl")

		second.attach(t, filepath.Join(first.dir, "working"), "last-session")
		settings["sim_speed"], settings["for_"] = 1000, "11h40m"
		two := second.solo(ctx, t, python, settings)
		isComplete(t, two)
		shows(t, two, "going on with ", "300 answers in "+second.dir+"/working/sums.jsonl")
	})

	t.Run("a real Ollama on each of two GPUs", func(t *testing.T) {
		bin := ollamatest.Bin(t)
		s := newSession(t, twoT4s)
		attachWheel(t, s)
		write(t, filepath.Join(s.dir, "input", "ollama", "bin", "ollama"), "#!/bin/sh\nexec "+bin+" \"$@\"\n")
		model := filepath.Join(s.dir, "input", "model", "v1", "tiny.gguf")
		if err := os.MkdirAll(filepath.Dir(model), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := gguftest.Write(model, gguftest.Config{Name: "tiny", Ending: gguftest.Stop}); err != nil {
			t.Fatal(err)
		}
		executed := s.solo(ctx, t, python, map[string]any{"data": s.rows(t, 8), "field": "q", "name": "sums", "model": "tiny", "model_file": "tiny.gguf",
			"gpus": "auto", "allow_cpu": true, "num_predict": 1000, "for_": "5m"})
		isComplete(t, executed)
		shows(t, executed, "Ollama: "+s.dir+"/input/ollama/bin/ollama", `gpu="GPU 0 Tesla T4"`, `gpu="GPU 1 Tesla T4"`, "8 answers in ")
		isReadable(t, executed.shown())
		left, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range left {
			if environ, err := os.ReadFile(file); err == nil && strings.Contains(string(environ), "GLEANER_GPU=") && strings.Contains(string(environ), s.dir) {
				t.Errorf("%s is left", file)
			}
		}
	})

	for _, c := range []struct {
		name, nvidia string
		wheel        bool
		want         string
	}{
		{"no wheel", twoT4s, false, "Stopped: there is no wheel: attach the dataset"},
		{"no GPU", noT4, true, "Stopped: this session has no GPU, and nothing was done: choose Settings > Accelerator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t, c.nvidia)
			if c.wheel {
				attachWheel(t, s)
			}
			executed := s.solo(ctx, t, python, map[string]any{"data": s.rows(t, 3), "field": "q", "name": "sums", "model": "tiny", "gpus": "auto"})
			shows(t, executed, c.want)
		})
	}
}
