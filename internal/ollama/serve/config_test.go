package serve

import (
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/gpu"
)

func TestAServerIsToldItsPlaceAndNoSecrets(t *testing.T) {
	t.Setenv("NATS_CREDS", "secret")
	t.Setenv("GLEANER_INVITE", "secret")
	t.Setenv("MONGODB_URI", "secret")
	t.Setenv("OLLAMA_API_KEY", "secret")
	t.Setenv("OLLAMA_NUM_PARALLEL", "1")
	t.Setenv("OLLAMA_FLASH_ATTENTION", "0")
	t.Setenv("OLLAMA_KV_CACHE_TYPE", "q8_0")
	cfg, err := Config{Models: "m", State: t.TempDir(), Context: 2048}.complete()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, entry := range cfg.environment(gpu.Device{UUID: "GPU-aaaa"}, "marker", "127.0.0.1:1", 16) {
		name, value, _ := strings.Cut(entry, "=")
		got[name] = value
	}
	for name, want := range map[string]string{
		"CUDA_VISIBLE_DEVICES": "GPU-aaaa", "OLLAMA_HOST": "127.0.0.1:1", "OLLAMA_NUM_PARALLEL": "16", "OLLAMA_CONTEXT_LENGTH": "2048",
		"OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_NOPRUNE": "1", "OLLAMA_NO_CLOUD": "1", "OLLAMA_MODELS": cfg.Models, "GLEANER_GPU": "marker",
		"OLLAMA_FLASH_ATTENTION": "0", "OLLAMA_KV_CACHE_TYPE": "q8_0", "NATS_CREDS": "", "GLEANER_INVITE": "", "MONGODB_URI": "", "OLLAMA_API_KEY": "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if !filepath.IsAbs(cfg.Models) {
		t.Errorf("the folder of the models is %s: the server runs elsewhere", cfg.Models)
	}
}
