package text

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPrintableTextHasNoCommands(t *testing.T) {
	for in, want := range map[string]string{
		"plain, 日本語 and a😀\n\tb":     "plain, 日本語 and a😀\n\tb",
		"a\x1b[2J\x07b\r\n":          "a\uFFFD[2J\uFFFDb\uFFFD\n",
		"nul\x00 del\x7f c1\u009b2J": "nul\uFFFD del\uFFFD c1\uFFFD2J",
		"\u202etxt.exe\u2069 \u061c": "\uFFFDtxt.exe\uFFFD \uFFFD",
		"one\u2028two\u2029":         "one\uFFFDtwo\uFFFD",
		"no character \xff\x9b":      "no character \uFFFD\uFFFD",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestPrintableJSONIsTheSameValue(t *testing.T) {
	const hostile = "a\x00\x1b[2J\x7f\u0085\u009b\u202e\u2028\u2066 \"b\\ 日本"
	data, err := json.Marshal(map[string]string{hostile: hostile})
	if err != nil {
		t.Fatal(err)
	}
	shown := PrintableJSON(string(data))
	if strings.ContainsFunc(shown, commands) {
		t.Errorf("a command is left in %q", shown)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(shown), &back); err != nil || back[hostile] != hostile || len(back) != 1 {
		t.Errorf("%s: read back %q, %v", shown, back, err)
	}
}
