// Package python_test runs the tests of the Python packages, with the wheels as they are released.
package python_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gleaner/internal/hub/hubtest"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/needtest"
	"gleaner/internal/ollama/ollamatest"
)

// The packages are tested as users have them: the wheels of this machine are built from what lies
// here, and installed without network. The tests run in that environment, which sees the libraries
// of the Python that is named.
func TestThePackages(t *testing.T) {
	python := needtest.Env(t, "LOADERS_TEST_PYTHON", "the Python packages are not tested; .ci/loaders.sh prints what to set")
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	server := natsdtest.Start(t, natsd.Config{})
	hub := hubtest.Start(t)
	hub.Add("me/sums", hubtest.Repo{Files: map[string]string{"train.jsonl": "{\"question\": \"What is 1 and 2?\"}\n{\"question\": \"What is 2 and 2?\"}\n"}})
	models := ollamatest.TinyModels()
	installed := install(ctx, t, python)
	tests, err := filepath.Abs("tests")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // where Python does not find the packages as they lie here
	out := run(ctx, t, []string{
		"OLLAMA_TEST_HOST=" + ollamatest.Host(t), "MODEL=" + models.Stop, "MODEL_ENDLESS=" + models.Endless,
		"JUPYTER_TEST_PYTHON=" + os.Getenv("JUPYTER_TEST_PYTHON"), "TEST_NATS_URL=" + server.URL(), "TEST_HF_ENDPOINT=" + hub.URL, "PYTHONDONTWRITEBYTECODE=1", "CI=" + os.Getenv("CI"),
	}, installed, "-W", "error::ResourceWarning", "-m", "unittest", "discover", "-v", "-s", tests)
	t.Log(out)
	for line := range strings.Lines(out) {
		if strings.Contains(line, "... skipped") {
			needtest.Skip(t, "%s", strings.TrimSpace(line))
		}
	}
}

// install builds the wheels and installs them in an environment of its own, and returns its Python.
func install(ctx context.Context, t *testing.T, python string) string {
	t.Helper()
	folder := t.TempDir()
	dist, venv := filepath.Join(folder, "dist"), filepath.Join(folder, "venv")
	platform := runtime.GOOS + "/" + runtime.GOARCH
	run(ctx, t, nil, "go", "run", "../../internal/tools/release", "--here", "--only=wheels", "--platforms="+platform, "--out="+dist)
	wheels, err := filepath.Glob(filepath.Join(dist, "*.whl"))
	if err != nil || len(wheels) != 2 {
		t.Fatalf("the wheels are %q, %v", wheels, err)
	}
	// An environment below another one sees the libraries of neither: it is named by a file.
	run(ctx, t, nil, python, "-m", "venv", venv)
	inside := filepath.Join(venv, "bin", "python")
	libraries := run(ctx, t, nil, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
	site := strings.TrimSpace(run(ctx, t, nil, inside, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
	run(ctx, t, nil, inside, append([]string{"-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"}, wheels...)...)
	run(ctx, t, nil, inside, "-m", "pip", "check", "--disable-pip-version-check")
	if err := os.WriteFile(filepath.Join(site, "libraries.pth"), []byte(libraries), 0o644); err != nil {
		t.Fatal(err)
	}
	return inside
}

// run runs a program and returns what it says.
func run(ctx context.Context, t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(ctx, program, args...)
	command.Env = append(os.Environ(), env...)
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, said)
	}
	return string(said)
}
