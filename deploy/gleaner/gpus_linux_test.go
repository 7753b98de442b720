package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/ollama/gguftest"
	"gleaner/internal/ollama/ollamatest"
)

// With two GPUs a server runs on each while the run goes on, and none is left after it.
func TestARunStartsAServerOnEachGPU(t *testing.T) {
	bin, dir := ollamatest.Bin(t), t.TempDir()
	model, input := filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "rows.jsonl")
	if err := gguftest.Write(model, gguftest.Config{Name: "tiny", Ending: gguftest.Stop}); err != nil {
		t.Fatal(err)
	}
	smi := "#!/bin/sh\necho '0, GPU-run0, Tesla T4, 15360'\necho '1, GPU-run1, Tesla T4, 15360'\n"
	for name, text := range map[string]string{"rows.jsonl": strings.Repeat("{\"q\": \"one\"}\n", 6), "nvidia-smi": smi} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := program(t, "run", "--input", input, "--field", "q", "--model", "tiny", "--gpus", "auto", "--ollama-bin", bin, "--model-file", model,
		"--models", filepath.Join(dir, "models"), "--allow-cpu", "--num-predict", "1000", "--data", filepath.Join(dir, "data"), "--json")
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "XDG_CACHE_HOME="+dir, "OLLAMA_NUM_PARALLEL=2")
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, cmd.Stderr)
	}
	var summary struct{ Stored, Left int }
	if err := json.Unmarshal(said, &summary); err != nil || summary.Stored != 6 {
		t.Fatalf("%v: %s\n%s", err, said, cmd.Stderr)
	}
	talk := fmt.Sprint(cmd.Stderr)
	for _, want := range []string{"Starting an Ollama server on 2 GPUs for model tiny, each with up to 2 slots", `gpu="GPU 0 Tesla T4"`, `gpu="GPU 1 Tesla T4"`} {
		if !strings.Contains(talk, want) {
			t.Errorf("%q is missing in:\n%s", want, talk)
		}
	}
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		if environ, err := os.ReadFile(file); err == nil && strings.Contains(string(environ), "GLEANER_GPU="+dir) {
			t.Errorf("%s is left", file)
		}
	}
}
