package text

import (
	"strings"
	"testing"
)

func TestAnAddressIsShownWithoutWhatIsSecret(t *testing.T) {
	for raw, want := range map[string]string{
		"nats://user:hush@host:4222":              "nats://host:4222",
		"nats://hush@host:4222":                   "nats://host:4222",
		"nats://a:hush@h1:1,nats://b:hush@h2:2":   "nats://h1:1,nats://h2:2",
		"nats://127.0.0.1:1,nats://127.0.0.1:2":   "nats://127.0.0.1:1,nats://127.0.0.1:2",
		"nats://u:hush@h1:1,h2:2":                 "nats://h1:1,h2:2",
		"mongodb://u:hu/sh@a:1,b:2/db?w=majority": "mongodb://a:1,b:2/db?…",
		"mongodb://u:hu?sh@host/db":               "mongodb://…",
		"http://u:hush@host:port/path":            "http://host:…/…",
		"http://u:hush":                           "http://u:…",
		"http:/u:hush@host":                       "host",
		"u:hush@[::1]:11434":                      "[::1]:11434",
		"http://host:1/path":                      "http://host:1/path",
		"":                                        "",
	} {
		if got := Address(raw); got != want {
			t.Errorf("%s is shown as %s, want %s", raw, got, want)
		}
	}
}

func TestSecretsAreHiddenInEachOfTheirForms(t *testing.T) {
	s := SecretsOf("hush%40 hush", "abc", "hush%40")
	for _, text := range []string{"hush%40 hush", "hush@ hush", "hush%2540+hush", `"hush%40 hush"`} {
		if shown := s.Hide("no " + text + ", abc"); strings.Contains(shown, "hush") || !strings.Contains(shown, "abc") || !s.In(text) {
			t.Errorf("%s: %s", text, shown)
		}
	}
	if s.In("nothing") {
		t.Error("there is nothing to hide")
	}
}

func TestAWordThatMayBeSecretIsKnown(t *testing.T) {
	for word, want := range map[string]bool{
		"user:hush@host": true, "nats://host": true, "eyJ0eXAiOiJKV1Qi": true, "-----BEGIN": true, "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4": true,
		"gleaner1.kgIabc": true, "gleaner.yaml": false, "gleaner": false,
		"run": false, "--store": false, "SUMMER": false,
	} {
		if got := MayBeSecret(word); got != want {
			t.Errorf("%s: %v", word, got)
		}
	}
}
