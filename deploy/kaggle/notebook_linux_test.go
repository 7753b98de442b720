package kaggle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gleaner/internal/needtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// A notebook is the part of an executed notebook that the tests read.
type notebook struct {
	Cells []struct {
		Type    string `json:"cell_type"`
		Count   *int   `json:"execution_count"`
		Outputs []struct {
			Type, Name string
			OutputType string `json:"output_type"`
			Text       text
			Data       struct {
				Plain text `json:"text/plain"`
			}
			Traceback []string
		}
		Source text
	}
}

// text is written as one string or as a list of lines.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var lines []string
	if json.Unmarshal(data, &lines) == nil {
		*t = text(strings.Join(lines, ""))
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// shown returns all that a reader sees below the cells.
func (n notebook) shown() string {
	var all strings.Builder
	for _, cell := range n.Cells {
		for _, out := range cell.Outputs {
			all.WriteString(string(out.Text) + string(out.Data.Plain) + strings.Join(out.Traceback, "\n"))
		}
	}
	return all.String()
}

func read(t *testing.T, path string) notebook {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var n notebook
	if err := json.Unmarshal(data, &n); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return n
}

// python returns the path of a Python that has Jupyter. Without one the test is skipped, or fails
// where CI is set.
func python(t *testing.T) string {
	t.Helper()
	return needtest.Env(t, "JUPYTER_TEST_PYTHON", "the notebook is not executed; .ci/jupyter.sh prints what to set")
}

// execute is what "Save & Run All" does: every cell in a kernel of its own, and the outputs are
// kept.
const execute = `
import sys, nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
book = nbformat.read(sys.argv[1], 4)
nbformat.validate(book)
try:
    NotebookClient(book, timeout=600, kernel_name="python3").execute()
except CellExecutionError:
    pass
nbformat.write(book, sys.argv[2])
`

// A machine is what a notebook finds where it runs.
type machine struct {
	dir string
	env []string
}

// newMachine returns a machine with these variables, and with programs that stand in for those of
// this one.
func newMachine(t *testing.T, programs map[string]string, env ...string) machine {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		write(t, filepath.Join(dir, "bin", name), script)
	}
	for _, name := range []string{"sh", "sleep", "tar"} { // and no Ollama or nvidia-smi that this machine may have
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return machine{dir: dir, env: append([]string{
		"PATH=" + filepath.Join(dir, "bin"), "HOME=" + dir, "LANG=C.UTF-8",
		"GLEANER_INPUT=" + filepath.Join(dir, "input"), "GLEANER_WORK=" + filepath.Join(dir, "work"),
	}, env...)}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// jupyter executes the notebook until ctx ends, in the background. It returns a context that ends
// with the execution, and what waits for it.
func (m machine) jupyter(ctx context.Context, t *testing.T, python, book string) (executing context.Context, wait func() notebook) {
	t.Helper()
	done := filepath.Join(m.dir, "executed.ipynb")
	command := exec.CommandContext(ctx, python, "-c", execute, book, done)
	command.Env = m.env
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	executing, over := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- command.Wait(); over() }()
	return executing, func() notebook {
		t.Helper()
		if err := <-ended; err != nil {
			t.Fatalf("Jupyter: %v\n%s", err, said.String())
		}
		return read(t, done)
	}
}

const batches = 6

// publish puts batches of a run on the queue, and returns what waits until all of them are
// answered, or its context ends first.
func publish(ctx context.Context, t *testing.T, conn *stream.Conn, run pipeline.Run) (answered func(context.Context) bool) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(conn.EnsureRun(ctx, run))
	for batch := range batches {
		check(conn.Publish(ctx, pipeline.Work{
			Run: run.Name, UID: run.UID, Batch: batch, Round: 1, Model: run.Spec.Model, Options: pipeline.Options{NumPredict: 200},
			Generations: []pipeline.Generation{{Item: batch, Messages: pipeline.User(fmt.Sprintf("What is %d and %d?", batch, batch)), Seed: batch}},
		}))
	}
	return func(ctx context.Context) bool {
		look := time.NewTicker(100 * time.Millisecond)
		defer look.Stop()
		for {
			depth, err := conn.Depth(ctx, run.Name)
			if err == nil && depth.Waiting+depth.Held == 0 && depth.Results > 0 { // each batch has its answer or its dead letter
				return true
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return false
			}
		}
	}
}

// interrupt sends SIGTERM to the program that runs from this path, as the end of a session does.
func interrupt(t *testing.T, path string) {
	t.Helper()
	processes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range processes {
		if to, err := os.Readlink(exe); err != nil || to != path {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(exe, "/proc/%d/exe", &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s does not run", path)
}

// isComplete fails if a cell was not executed, or failed.
func isComplete(t *testing.T, n notebook) {
	t.Helper()
	for i, cell := range n.Cells {
		if cell.Type == "code" && cell.Count == nil {
			t.Errorf("cell %d was not executed", i)
		}
		for _, out := range cell.Outputs {
			if out.OutputType == "error" {
				t.Errorf("cell %d failed: %v", i, out.Traceback)
			}
		}
	}
}

// isReadable fails if the output has something that only a terminal understands.
func isReadable(t *testing.T, shown string) {
	t.Helper()
	for _, r := range shown {
		if r < ' ' && r != '\n' && r != '\t' {
			t.Errorf("the output has the control character %q", r)
		}
	}
}

// hides fails if one of the secrets is shown.
func hides(t *testing.T, shown string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if secret = strings.TrimSpace(secret); len(secret) > 8 && !strings.HasPrefix(secret, "--") && !strings.HasPrefix(secret, "**") && strings.Contains(shown, secret) {
			t.Errorf("the output shows a secret: %.4s…", secret)
		}
	}
}
