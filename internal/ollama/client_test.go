package ollama_test

import (
	"strings"
	"testing"

	"gleaner/internal/ollama"
)

func TestAnAddressIsReadAsOllamaWritesIt(t *testing.T) {
	for raw, want := range map[string]string{
		"http://gpu1:11435":       "http://gpu1:11435",
		"gpu1:11435":              "http://gpu1:11435",
		"gpu1":                    "http://gpu1:11434",
		" 127.0.0.1:11434 ":       "http://127.0.0.1:11434",
		"127.0.0.1":               "http://127.0.0.1:11434",
		"0.0.0.0":                 "http://127.0.0.1:11434",
		"[::]:8080":               "http://127.0.0.1:8080",
		"[::1]":                   "http://[::1]:11434",
		"http://[::1]":            "http://[::1]",
		"https://ollama.example":  "https://ollama.example",
		"http://gpu1/":            "http://gpu1",
		"https://h.example/gpu0/": "https://h.example/gpu0",
		"http://me:secret@gpu1:1": "http://gpu1:1",
		"me:secret@gpu1":          "http://gpu1:11434",
	} {
		c, err := ollama.New(raw, ollama.Config{})
		if err != nil {
			t.Errorf("%q: %v", raw, err)
		} else if c.URL() != want {
			t.Errorf("%q became %s, want %s", raw, c.URL(), want)
		}
	}
}

func TestAWrongAddressIsRefusedAndTheErrorSaysWhy(t *testing.T) {
	for raw, want := range map[string]string{
		"":                       "is empty",
		"  ":                     "is empty",
		"ftp://gpu1":             `begins with "ftp://"`,
		"http://":                "has no host",
		":11434":                 "has no host",
		"gpu1:99999":             "99999 is not a port",
		"gpu1:0":                 "0 is not a port",
		"gpu1:eleven":            "invalid port",
		"http://gpu1?model=tiny": "has a query",
		"http://gpu 1":           "invalid character",
	} {
		_, err := ollama.New(raw, ollama.Config{})
		switch {
		case err == nil:
			t.Errorf("%q was taken", raw)
		case !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "http://host:port"):
			t.Errorf("%q: the error does not say %q and what to write: %v", raw, want, err)
		}
	}
}

func TestNegativeLimitsAreRefused(t *testing.T) {
	for _, cfg := range []ollama.Config{{FirstToken: -1}, {Stall: -1}, {Slots: -1}} {
		if _, err := ollama.New("gpu1", cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestAnErrorAboutAnAddressShowsNoSecret(t *testing.T) {
	for _, raw := range []string{
		"http://user:hush@%zz", "http://user:pa%zzss@gpu1", "http://user:pa/hush@gpu1", "http://user:hush@gpu1:99999", "ftp://user:hush@gpu1", "http://user:hush@gpu1?x=hush",
		"http://user:hush", "user:hush", "http://hush@", "http://gpu1?key=hush", "http://user:pa#hush@gpu1", "http://user:pa@hush@gpu 1",
	} {
		_, err := ollama.New(raw, ollama.Config{})
		if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "write http://") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
