package dataset

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzScanner compares the scanner with encoding/json: what that accepts it accepts, but for what
// it knows better.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":[{"c":"\u00e9\\\""},-0.5e+10,true,false,null]}`, `[]`, `{}`, `"\ud83d\ude00\ud83d"`, `01`, `-`, `1.`, `1e`, `{"a":1,}`,
		`[1,]`, `{"a" 1}`, `nul`, `"a` + "\n" + `"`, `NaN`, `-Infinity`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, "\"\xff\"", `{"a":{"a":1}}`,
		strings.Repeat("[", 600), `12345678 `, `"12345678\"`, `"\u12"`, `{"":{},"a":[[],[{}]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.TrimLeft(data, whitespace)
		var s scanner
		end, r := s.value(data, true)
		whole := r == complete && len(bytes.Trim(data[end:], whitespace)) == 0
		known := s.fault == tooDeep || s.fault == nameTwice || s.fault == invalidUTF8 // and it may hide another
		if accepted := whole && s.fault == noFault; !known && accepted != json.Valid(data) {
			t.Fatalf("%q: %v, fault %d at %d; encoding/json says %v", data, r, s.fault, s.at, json.Valid(data))
		}
		if whole && s.fault == noFault {
			if !utf8.Valid(data) {
				t.Fatalf("%q is not UTF-8", data)
			}
			checkCanonical(t, data)
		}
		if r == complete && s.fault == noFault && data[0] != '-' && data[0]-'0' > 9 && len(data) < 200 { // the beginning of a number may be one
			for cut := range end {
				if _, r := s.value(data[:cut], false); r != unfinished {
					t.Fatalf("%q cut at %d: %d", data, cut, r)
				}
			}
		}
	})
}

// checkCanonical compares values: the canonical form means the same, and has the same form.
func checkCanonical(t *testing.T, data []byte) {
	t.Helper()
	form := Canonical(nil, data)
	if !json.Valid(form) || !utf8.Valid(form) {
		t.Fatalf("the canonical form of %q is %q", data, form)
	}
	if again := Canonical(nil, form); !bytes.Equal(form, again) {
		t.Fatalf("the canonical form of %q is %q, and that one's %q", data, form, again)
	}
	small, _ := rewrite(nil, data, false)
	if !bytes.Equal(Canonical(nil, small), form) {
		t.Fatalf("%q and %q differ in their canonical form", data, small)
	}
	var want, got any
	if json.Unmarshal(data, &want) != nil || json.Unmarshal(form, &got) != nil {
		return // a number that does not fit
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) {
		t.Fatalf("%q means %s, its canonical form %q means %s", data, a, form, b)
	}
}

func TestNamesThatStandTwiceAreFoundAtEveryLevel(t *testing.T) {
	many := `{"x0":0`
	for i := 1; i < 40; i++ {
		many += `,"x` + strings.Repeat("y", i) + `":1`
	}
	for row, want := range map[string]bool{
		`{"a":1,"b":2}`:                        false,
		`{"a":1,"a":2}`:                        true,
		`{"a":{"b":1,"b":2}}`:                  true,
		`{"a":[{"b":1},{"b":2}]}`:              false,
		`{"a":[1,{"b":1,"c":[],"b":2}],"d":1}`: true,
		`{"a":{"a":{"a":1}}}`:                  false,
		`{"a":1,"\u0061":2}`:                   true,
		`{"a":1,"b":"\u0061"}`:                 false,
		`{"\ud83d\ude00":1,"😀":2}`:             true,
		many + `}`:                             false,
		many + `,"xyyy":1}`:                    true,
	} {
		var s scanner
		if _, r := s.value([]byte(row), true); r != complete || (s.fault == nameTwice) != want {
			t.Errorf("%.60s: %d, fault %d, want a name twice: %v", row, r, s.fault, want)
		}
	}
}

func TestCanonicalFormsHaveOneSpelling(t *testing.T) {
	for row, want := range map[string]string{
		` { "a" : 1.50 , "b" : [ 1e400 , "x y" ] } `: `{"a":1.50,"b":[1e400,"x y"]}`,
		`{"a":"\/\u00e9\u000a\u0022\u005c\u001f\b"}`: `{"a":"/é\n\"\\\u001f\b"}`,
		`{"\u0061":"\ud83d\ude00"}`:                  `{"a":"😀"}`,
		`{"a":"\uD83D x \uDE00"}`:                    `{"a":"\ud83d x \ude00"}`,
		`{"z":"<b>\u003c","a":"` + "\u2028" + `"}`:   `{"z":"<b><","a":"` + "\u2028" + `"}`,
		`{"a":"\uD83D\uD83D\uDE00"}`:                 `{"a":"\ud83d😀"}`,
	} {
		if got := string(Canonical(nil, []byte(row))); got != want {
			t.Errorf("%s became %s, want %s", row, got, want)
		}
	}
}
