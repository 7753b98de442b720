package kaggle_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// standIn is a consumer that shows what it was started with, also what it should not.
const standIn = `#!/bin/sh
echo "arguments: $*"
echo "credentials: $NATS_CREDS"
exit ${STAND_IN_CODE:-0}
`

const (
	twoGPUs = "#!/bin/sh\necho 'GPU 0: Tesla T4 (UUID: GPU-0)'\necho 'GPU 1: Tesla T4 (UUID: GPU-1)'\n"
	noGPU   = "#!/bin/sh\necho 'No devices were found' >&2\nexit 9\n"
	creds   = "-----BEGIN NATS USER JWT-----\neyJhbGciOiJzZWNyZXQifQ.c2VjcmV0.c2VjcmV0\n------END NATS USER JWT------\n"
)

// run runs the notebook's code without Jupyter, which is quicker, and returns what it shows and
// whether it worked.
func (m machine) run(t *testing.T, python string) (shown string, ok bool) {
	t.Helper()
	var code strings.Builder
	for _, cell := range read(t, "consumer.ipynb").Cells {
		if cell.Type == "code" {
			code.WriteString(string(cell.Source) + "\n")
		}
	}
	command := exec.CommandContext(t.Context(), python, "-c", code.String())
	command.Env = m.env
	said, err := command.CombinedOutput()
	return string(said), err == nil
}

func TestTheNotebookGivesTheConsumerEveryGPU(t *testing.T) {
	python := python(t)
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, standIn) }))
	t.Cleanup(served.Close)
	m := newMachine(t, map[string]string{"nvidia-smi": twoGPUs}, "NATS_URL=tls://nats.example:4222", "NATS_CREDS="+creds,
		"GLEANER_CONSUMER_URL="+served.URL+"/consumer-linux-amd64", fmt.Sprintf("GLEANER_CONSUMER_SHA256=%x", sha256.Sum256([]byte(standIn))),
		"GLEANER_MODEL_FILE=mistral-q4.gguf")
	input, work := filepath.Join(m.dir, "input"), filepath.Join(m.dir, "work")
	write(t, filepath.Join(input, "ollama", "bin", "ollama"), "#!/bin/sh\n") // as Kaggle unpacks it
	write(t, filepath.Join(input, "ollama", "lib", "ollama", "libggml.so"), "")
	write(t, filepath.Join(input, "model", "v1", "mistral-q4.gguf"), "GGUF")
	shown, ok := m.run(t, python)
	if !ok {
		t.Fatalf("the notebook failed:\n%s", shown)
	}
	want := "arguments: --gpus auto --ollama-bin " + work + "/ollama/bin/ollama --models " + work + "/models --model-file " +
		input + "/model/v1/mistral-q4.gguf --for 11h40m --idle-exit 10m"
	if !strings.Contains(shown, want) || !strings.Contains(shown, "GPU 1: Tesla T4") {
		t.Errorf("the notebook shows\n%s\nwant %q and both GPUs", shown, want)
	}
	if _, err := os.Stat(filepath.Join(work, "ollama", "lib", "ollama", "libggml.so")); err != nil {
		t.Errorf("Ollama's libraries are not beside it: %v", err)
	}
	hides(t, shown, strings.Split(creds, "\n")...)
	if !strings.Contains(shown, "***") {
		t.Error("the stand-in's attempt to show the credentials does not show")
	}
}

func TestTheNotebookTakesTheConsumerOutOfARelease(t *testing.T) {
	python := python(t)
	m := newMachine(t, nil, "NATS_URL=nats://nats.example:4222", "OLLAMA_HOST=http://127.0.0.1:1")
	write(t, filepath.Join(m.dir, "gleaner_1.0.0_linux_amd64", "consumer"), standIn)
	write(t, filepath.Join(m.dir, "input", "release", "SHA256SUMS"), "")
	archive := filepath.Join(m.dir, "input", "release", "gleaner_1.0.0_linux_amd64.tar.gz")
	if said, err := exec.Command("tar", "-czf", archive, "-C", m.dir, "gleaner_1.0.0_linux_amd64").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if shown, ok := m.run(t, python); !ok || !strings.Contains(shown, "arguments: --ollama http://127.0.0.1:1 --for") {
		t.Errorf("the notebook works is %v, and shows\n%s", ok, shown)
	}
}

func TestTheNotebookServesOnTheCPUOnlyWhenAsked(t *testing.T) {
	python := python(t)
	ollama := "#!/bin/sh\necho \"$1 $2\" >>\"$HOME/asked\"\ncase $1 in serve) exec sleep 600 ;; show) exit 1 ;; esac\n"
	m := newMachine(t, map[string]string{"nvidia-smi": noGPU, "ollama": ollama}, "NATS_URL=nats://nats.example:4222", "GLEANER_CPU_MODEL=small")
	write(t, filepath.Join(m.dir, "input", "gleaner", "consumer"), standIn)
	shown, ok := m.run(t, python)
	if !ok {
		t.Fatalf("the notebook failed:\n%s", shown)
	}
	for _, want := range []string{"NO GPU", "pulling small", "arguments: --ollama http://127.0.0.1:11434 --slots 2 --for 11h40m"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the notebook does not show %q but\n%s", want, shown)
		}
	}
	asked, err := os.ReadFile(filepath.Join(m.dir, "asked"))
	if err != nil || !strings.Contains(string(asked), "serve") || !strings.Contains(string(asked), "pull small") {
		t.Errorf("Ollama was asked for %q, %v, want serve and pull", asked, err)
	}
}

// What a person has to mend is said in one sentence that says how, and no work is taken.
func TestTheNotebookSaysWhatIsMissing(t *testing.T) {
	python := python(t)
	for _, c := range []struct {
		name, nvidia string
		consumer     bool
		env          []string
		want         string
	}{
		{"no secret", twoGPUs, true, nil, "there is no secret NATS_URL: attach it"},
		{"no consumer", twoGPUs, false, []string{"NATS_URL=nats://n"}, "attach the dataset that has the file consumer-linux-amd64"},
		{"another consumer", twoGPUs, true, []string{"NATS_URL=nats://n", "GLEANER_CONSUMER_SHA256=00"}, "not the one in the settings"},
		{"download without checksum", twoGPUs, false, []string{"NATS_URL=nats://n", "GLEANER_CONSUMER_URL=http://127.0.0.1:1/consumer"}, "CONSUMER_SHA256 is empty"},
		{"no GPU", noGPU, true, []string{"NATS_URL=nats://n"}, "this session has no GPU, and took no work"},
		{"no Ollama", twoGPUs, true, []string{"NATS_URL=nats://n"}, "attach the dataset that has ollama-linux-amd64.tar.zst"},
		{"no model file", twoGPUs, true, []string{"NATS_URL=nats://n", "GLEANER_MODEL_FILE=m.gguf", "WITH_OLLAMA=1"}, "no dataset has the model file m.gguf"},
		{"the consumer fails", twoGPUs, true, []string{"NATS_URL=nats://n", "OLLAMA_HOST=http://127.0.0.1:1", "STAND_IN_CODE=3"}, "ended with exit code 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, map[string]string{"nvidia-smi": c.nvidia}, c.env...)
			if c.consumer {
				write(t, filepath.Join(m.dir, "input", "gleaner", "consumer-linux-amd64"), standIn)
			}
			if strings.Contains(strings.Join(c.env, " "), "WITH_OLLAMA") {
				write(t, filepath.Join(m.dir, "input", "ollama", "bin", "ollama"), "#!/bin/sh\n")
			}
			shown, ok := m.run(t, python)
			if ok || !strings.Contains(shown, c.want) {
				t.Errorf("the notebook works is %v, and shows\n%s\nwant a failure with %q", ok, shown, c.want)
			}
			if c.name != "the consumer fails" && strings.Contains(shown, "arguments:") {
				t.Errorf("the consumer was started:\n%s", shown)
			}
		})
	}
}
