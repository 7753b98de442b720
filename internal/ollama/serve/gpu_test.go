package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoT4 = "0, GPU-aaaa, Tesla T4, 15360\n1, GPU-bbbb, Tesla T4, 15360\n"

// smi puts a stand-in for nvidia-smi on the PATH.
func smi(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

func TestGPUsAreTakenFromNvidiaSmi(t *testing.T) {
	first, second := GPU{0, "GPU-aaaa", "Tesla T4", 15360}, GPU{1, "GPU-bbbb", "Tesla T4", 15360}
	for _, c := range []struct {
		script, wanted string
		want           []GPU
		problem        string
	}{
		{"echo '" + twoT4 + "'", "auto", []GPU{first, second}, ""},
		{"echo '" + twoT4 + "'", "1", []GPU{second}, ""},
		{"echo '" + twoT4 + "'", "1, 0", []GPU{second, first}, ""},
		{"echo '" + twoT4 + "'", "GPU-aaaa", []GPU{first}, ""},
		{"echo '" + twoT4 + "'", "2", nil, "this machine has 0 (Tesla T4), 1 (Tesla T4)"},
		{"echo '" + twoT4 + "'", "0,0", nil, "twice"},
		{"echo '0, GPU-cccc, GB10, [N/A]'", "auto", []GPU{{0, "GPU-cccc", "GB10", 0}}, ""},
		{"echo", "auto", nil, "accelerator"},
		{"echo 'No devices were found'", "auto", nil, "No devices were found"},
		{"echo 'cannot communicate with the driver' >&2; exit 9", "auto", nil, "cannot communicate with the driver"},
	} {
		smi(t, c.script)
		got, err := GPUs(t.Context(), c.wanted)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", c.script, c.wanted, diff)
		}
		if (err != nil) != (c.problem != "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s, %s: %v, want %q", c.script, c.wanted, err, c.problem)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := GPUs(t.Context(), "auto"); err == nil || !strings.Contains(err.Error(), "--ollama") {
		t.Errorf("without nvidia-smi: %v", err)
	}
}

func TestAServerIsToldItsPlaceAndNoSecrets(t *testing.T) {
	t.Setenv("NATS_CREDS", "secret")
	t.Setenv("MONGODB_URI", "secret")
	t.Setenv("OLLAMA_NUM_PARALLEL", "1")
	t.Setenv("OLLAMA_FLASH_ATTENTION", "0")
	t.Setenv("OLLAMA_KV_CACHE_TYPE", "q8_0")
	cfg, err := Config{Models: "m", State: t.TempDir(), Context: 2048}.complete()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, entry := range cfg.environment(GPU{UUID: "GPU-aaaa"}, "mark", "127.0.0.1:1", 16) {
		name, value, _ := strings.Cut(entry, "=")
		got[name] = value
	}
	for name, want := range map[string]string{
		"CUDA_VISIBLE_DEVICES": "GPU-aaaa", "OLLAMA_HOST": "127.0.0.1:1", "OLLAMA_NUM_PARALLEL": "16", "OLLAMA_CONTEXT_LENGTH": "2048",
		"OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_NOPRUNE": "1", "OLLAMA_NO_CLOUD": "1", "OLLAMA_MODELS": cfg.Models, "GLEANER_GPU": "mark",
		"OLLAMA_FLASH_ATTENTION": "0", "OLLAMA_KV_CACHE_TYPE": "q8_0", "NATS_CREDS": "", "MONGODB_URI": "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if !filepath.IsAbs(cfg.Models) {
		t.Errorf("the folder of the models is %s: the server runs elsewhere", cfg.Models)
	}
}
