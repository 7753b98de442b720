package invite

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var full = Invitation{
	NATS: "tls://connect.example:4222", Creds: "eyJ0eXAiOiJKV1Qi.eyJqdGkiOiJYIn0.c2lnbmF0dXJl\nSUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4",
	Run: "words", Model: "mistral", Expires: 1_800_000_000,
}

func TestAnInvitationComesBackAsItWas(t *testing.T) {
	for name, i := range map[string]Invitation{"all of it": full, "no credentials": {NATS: "nats://consumer:hush@host", Run: "r"}} {
		text := i.Text()
		for how, sent := range map[string]string{
			"as it is": text, "with an end of line": text + "\r\n", "in quotes": `"` + text + `"`,
			"wrapped": text[:40] + "\n  " + text[40:] + " ",
		} {
			got, err := Read(sent)
			if diff := cmp.Diff(i, got); err != nil || diff != "" {
				t.Errorf("%s, %s: %v (-want +got):\n%s", name, how, err, diff)
			}
		}
		if strings.ContainsAny(text, " \n=+/") || strings.Contains(text, "hush") {
			t.Errorf("%s: %q is no word to copy", name, text)
		}
	}
}

// Wherever it is cut, it is said, and at most places how much is missing.
func TestATruncatedInvitationIsNamedSo(t *testing.T) {
	text := full.Text()
	for n := len(prefix) + 4; n < len(text); n++ {
		_, err := Read(text[:n])
		if err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Fatalf("the first %d of %d characters: %v", n, len(text), err)
		}
	}
	_, err := Read(text[:100])
	if want := "it has 100 of its "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
}

func TestAnAlteredInvitationIsRefused(t *testing.T) {
	text := full.Text()
	for at := range text {
		other := byte('A')
		if text[at] == other {
			other = 'B'
		}
		changed := text[:at] + string(other) + text[at+1:]
		if got, err := Read(changed); err == nil && got != full { // the last character may have bits that say nothing
			t.Fatalf("character %d: read as %+v", at, got)
		}
	}
}

func TestWhatIsNoInvitationIsNamed(t *testing.T) {
	text := full.Text()
	for given, want := range map[string]string{
		"":                                 "the invitation is empty",
		" \n":                              "the invitation is empty",
		"words":                            "this is no invitation",
		"gleaner":                          "this is no invitation",
		"gleaner.yaml":                     "this is no invitation",
		text[1:]:                           "this is no invitation",
		"gleaner2.abcdef":                  "made by a newer version",
		"-----BEGIN NATS USER JWT-----\nx": "credentials of NATS",
		full.Creds:                         "credentials of NATS",
		prefix:                             "cut off or altered",
		text + text[len(prefix):]:          "more behind its end",
		text[:30] + "é" + text[32:]:        "a character that cannot be in it, number 31",
		Invitation{Run: "r"}.Text():        "names no server or no run",
	} {
		_, err := Read(given)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", given, err, want)
		}
	}
}

func TestAnExpiredInvitationSaysWhatToDo(t *testing.T) {
	end := time.Unix(full.Expires, 0)
	if err := full.Check(end.Add(-time.Second)); err != nil {
		t.Error(err)
	}
	want := "the invitation for run words expired on 2027-01-15 08:00 UTC: ask for a new one (`gleaner invite --run words`)"
	if err := full.Check(end); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := (Invitation{Run: "r"}).Check(end); err != nil {
		t.Errorf("one without an end: %v", err)
	}
}

// No error repeats what was read, which may be a secret also where it is damaged.
func FuzzErrorsRepeatNothing(f *testing.F) {
	text := full.Text()
	for _, seed := range []string{text, text[:200], text[9:], full.Creds, "gleaner1.AAAA", strings.Repeat("A", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		_, err := Read(given)
		if err == nil {
			return
		}
		for at := 0; at+16 <= len(given); at++ {
			if part := given[at : at+16]; strings.Contains(err.Error(), part) && !strings.Contains(again, part) {
				t.Fatalf("%v repeats %q", err, part)
			}
		}
	})
}
