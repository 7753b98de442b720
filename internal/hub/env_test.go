package hub_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

func listenIPv6() (net.Listener, error) { return net.Listen("tcp6", "[::1]:0") }

func TestTheEnvironmentIsReadAsHuggingfaceHubReadsIt(t *testing.T) {
	home := t.TempDir()
	for file, text := range map[string]string{".cache/huggingface/token": "hf_home\n", "hf/token": "hf_other", "mine": " hf_mine\r\n"} {
		file = filepath.Join(home, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cache := filepath.Join(home, ".cache", "huggingface", "hub")
	for _, c := range []struct {
		name string
		env  map[string]string
		want hub.Config
	}{
		{"nothing is set", nil, hub.Config{Token: "hf_home", HubCache: cache}},
		{"a token", map[string]string{"HF_TOKEN": " hf_a\n", "HUGGING_FACE_HUB_TOKEN": "hf_b"}, hub.Config{Token: "hf_a", HubCache: cache}},
		{"the old name", map[string]string{"HUGGING_FACE_HUB_TOKEN": "hf_b"}, hub.Config{Token: "hf_b", HubCache: cache}},
		{"no implicit token", map[string]string{"HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, hub.Config{HubCache: cache}},
		{"a folder", map[string]string{"HF_HOME": "~/hf"}, hub.Config{Token: "hf_other", HubCache: filepath.Join(home, "hf", "hub")}},
		{"a file", map[string]string{"HF_TOKEN_PATH": "$HOME/mine"}, hub.Config{Token: "hf_mine", HubCache: cache}},
		{"a cache", map[string]string{"HF_HUB_CACHE": "/c", "HF_TOKEN": "x"}, hub.Config{Token: "x", HubCache: "/c"}},
		{"a mirror", map[string]string{"HF_ENDPOINT": "https://hf-mirror.com//", "HF_TOKEN": "x"}, hub.Config{Endpoint: "https://hf-mirror.com", Token: "x", HubCache: cache}},
		{"offline", map[string]string{"HF_HUB_OFFLINE": "yes", "HF_TOKEN": "x"}, hub.Config{Offline: true, Token: "x", HubCache: cache}},
		{"offline as transformers has it", map[string]string{"TRANSFORMERS_OFFLINE": "On", "HF_TOKEN": "x"}, hub.Config{Offline: true, Token: "x", HubCache: cache}},
		{"not offline", map[string]string{"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1", "HF_TOKEN": "x"}, hub.Config{Token: "x", HubCache: cache}},
	} {
		got := hub.ConfigFromEnv(func(name string) string {
			if name == "HOME" {
				return home
			}
			return c.env[name]
		})
		if c.want.Endpoint == "" {
			c.want.Endpoint = "https://huggingface.co"
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestOfflineTheCacheOfHuggingfaceHubIsRead(t *testing.T) {
	s := hubtest.Start(t)
	cfg := configOf(t, s)
	cfg.Offline, cfg.HubCache = true, t.TempDir()
	const commit = "0123456789012345678901234567890123456789"
	folder := filepath.Join(cfg.HubCache, "datasets--openai--gsm8k")
	for file, text := range map[string]string{
		"refs/main": commit, "snapshots/" + commit + "/README.md": gsm8kCard,
		"snapshots/" + commit + "/main/train-00000-of-00001.parquet": "rows",
		"snapshots/" + commit + "/main/test-00000-of-00002.parquet":  "a part",
	} {
		file = filepath.Join(folder, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source := hub.Source{Input: "hf://datasets/openai/gsm8k", Subset: "main", Split: "train"}
	got := mustFetch(t, cfg, source)
	if got.Revision != commit || texts(t, got.Files)[0] != "rows" {
		t.Errorf("it is %+v", got)
	}
	source.Split = "test"
	failing(t, cfg, source, "main/test-00001-of-00002.parquet is missing")
	source.Subset = "socratic"
	failing(t, cfg, source, "HF_HUB_OFFLINE")
}
