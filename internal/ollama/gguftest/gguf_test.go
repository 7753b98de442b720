package gguftest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/ollama/ollama/fs/ggml"

	"gleaner/internal/ollama/gguftest"
)

func TestAModelIsAFileThatOllamaReadsAndAlwaysTheSame(t *testing.T) {
	for _, ending := range []gguftest.Ending{gguftest.Stop, gguftest.Endless, gguftest.Loop} {
		var files [2][]byte
		for i := range files {
			path := filepath.Join(t.TempDir(), "m.gguf")
			if err := gguftest.Write(path, gguftest.Config{Ending: ending}); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files[i] = data
		}
		if !bytes.Equal(files[0], files[1]) {
			t.Errorf("%s: two files of one recipe differ", ending)
		}
		model, err := ggml.Decode(bytes.NewReader(files[0]), -1)
		if err != nil {
			t.Fatal(err)
		}
		if kv := model.KV(); kv.Architecture() != "llama" || kv.ContextLength() != 4096 || kv.EmbeddingLength() != 64 || len(model.Tensors().Items()) != 3+2*9 {
			t.Errorf("%s: %s, context %d, embedding %d, %d tensors", ending, kv.Architecture(), kv.ContextLength(), kv.EmbeddingLength(), len(model.Tensors().Items()))
		}
	}
}

func TestARecipeThatMakesNoModelIsRefused(t *testing.T) {
	for _, cfg := range []gguftest.Config{{Ending: "never"}, {MeanTokens: 0.5}, {Layers: -1}, {Heads: 3}, {KVHeads: 3}} {
		path := filepath.Join(t.TempDir(), "m.gguf")
		if err := gguftest.Write(path, cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%+v left a file behind", cfg)
		}
	}
}
