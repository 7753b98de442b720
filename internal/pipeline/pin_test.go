package pipeline

import (
	"strings"
	"testing"
)

func TestAPinIsAWholeDigestOrAny(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)
	for text, want := range map[string]string{"any": PinAny, digest: digest, "sha256:" + digest: digest, strings.ToUpper(digest): digest} {
		if got, err := ParsePin(text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"": "64 hexadecimal digits", "Any": "64 hexadecimal digits", "mistral:latest": "64 hexadecimal digits", digest[:12]: "give all 64", digest + "0": "give all 64", "sha256:": "64 hexadecimal digits",
	} {
		if got, err := ParsePin(text); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "any") {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

func TestOnlyACommandThatWorksIsAdvised(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)
	if got, want := OrPin("producer pin --run r "+digest, Ollama, digest), ", or have the run made by this one with `producer pin --run r "+digest+"`"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for digest, engine := range map[string]EngineName{"mistral:latest": Ollama, "any": "", "x`; rm -rf ~; `": Ollama, strings.ToUpper(digest): Ollama, digest: "other"} {
		if got := OrPin("producer pin --run r "+digest, engine, digest); got != "" {
			t.Errorf("%s of %s: %q", digest, engine, got)
		}
	}
}

func TestADigestIsShownAsPeopleKnowIt(t *testing.T) {
	for digest, want := range map[string]string{strings.Repeat("0123456789abcdef", 4): "0123456789ab", "mistral:latest": "mistral:latest", "": ""} {
		if got := ShortDigest(digest); got != want {
			t.Errorf("%s is shown as %s", digest, got)
		}
	}
}

func TestOnlyAPersonsPinHoldsAnswersWithoutADigest(t *testing.T) {
	run := Run{Pins: map[EngineName]string{Ollama: "a"}}
	if got := run.Pin(Ollama, "b"); got != "a" {
		t.Errorf("an answer with a digest has to be of %q", got)
	}
	if got := run.Pin("", "") + run.Pin(Ollama, ""); got != "" {
		t.Errorf("one without has to be of %q", got)
	}
	for _, engine := range PinEngines() {
		run.Pins[engine] = "c"
	}
	if got := run.Pin("", "") + run.Pin(Ollama, "") + run.Pin(Ollama, "b"); got != "ccc" {
		t.Errorf("after a person pinned it: %q", got)
	}
}

// An engine's name becomes a field of the store.
func TestTheEngineOfAResultIsOneWord(t *testing.T) {
	for _, c := range []struct {
		engine EngineName
		digest string
		ok     bool
	}{
		{"", "", true}, {"ollama", "d", true}, {"ollama", "", true}, {"llama-server2", "d", true},
		{"", "d", false}, {"a.b", "d", false}, {"$a", "d", false}, {"A", "d", false}, {"unsaid", "d", false}, {"ollama", PinAny, false},
		{EngineName(strings.Repeat("a", 33)), "d", false}, {"ollama", strings.Repeat("d", 257), false},
	} {
		r := Results{Run: "r", Round: 1, Engine: c.engine, Digest: c.digest, Results: []Result{{Text: "x", Finish: FinishStop}}}
		if err := r.Validate(); (err == nil) != c.ok {
			t.Errorf("engine %q, digest %.70q: %v", c.engine, c.digest, err)
		}
	}
}
