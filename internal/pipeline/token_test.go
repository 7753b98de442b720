package pipeline

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestATokenIsOfOneBatchInOneRoundOfOneRun(t *testing.T) {
	key := NewKey()
	token := key.Token("01UID", 7, 2)
	if len(token) != 16 || !key.Admits(token, "01UID", 7, 2) {
		t.Fatalf("%x is not admitted", token)
	}
	for what, admitted := range map[string]bool{
		"another run":   key.Admits(token, "01UIE", 7, 2),
		"another batch": key.Admits(token, "01UID", 8, 2),
		"another round": key.Admits(token, "01UID", 7, 3),
		"another key":   NewKey().Admits(token, "01UID", 7, 2),
		"no token":      key.Admits(nil, "01UID", 7, 2),
		"a part of it":  key.Admits(token[:8], "01UID", 7, 2),
		"more than it":  key.Admits(append(Token{}, append(token, 0)...), "01UID", 7, 2),
	} {
		if admitted {
			t.Errorf("%s is admitted", what)
		}
	}
}

func TestARunWithoutAKeyAdmitsEverythingAndGivesNoToken(t *testing.T) {
	var none Key
	if token := none.Token("01UID", 7, 2); token != nil || !none.Admits(nil, "01UID", 7, 2) || !none.Admits(Token("x"), "01UID", 7, 2) {
		t.Errorf("the token is %x, and what has none is not admitted", token)
	}
}

func TestAKeyIsNotShown(t *testing.T) {
	run := Run{Name: "r", Key: Key(strings.Repeat("k", keyBytes))}
	data, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := json.Marshal(run.Key)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(data) + string(alone) + run.Key.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown += fmt.Sprintf(verb, run) + fmt.Sprintf(verb, run.Key) + fmt.Sprintf(verb, &run)
	}
	for _, form := range []string{string(run.Key), hex.EncodeToString(run.Key), "107 107", "0x6b", "a2tra2"} {
		if strings.Contains(strings.ToLower(shown), strings.ToLower(form)) {
			t.Errorf("%q shows in %s", form, shown)
		}
	}
	if string(data) != strings.ReplaceAll(string(data), "key", "") {
		t.Errorf("the run's JSON speaks of a key: %s", data)
	}
}

func TestAConsumerIsTooOldForARunWithAKeyWhileItIsThere(t *testing.T) {
	keyed, earlier := Run{Name: "r", Key: NewKey()}, Run{Name: "r"}
	gpus := func(states ...GPUState) (all []GPUStatus) {
		for _, s := range states {
			all = append(all, GPUStatus{State: s})
		}
		return all
	}
	for _, c := range []struct {
		run      Run
		consumer Presence
		want     bool
	}{
		{keyed, Presence{Run: "r"}, true},
		{keyed, Presence{Run: "r", GPUs: gpus(GPUStopped, GPUServing)}, true},
		{keyed, Presence{Run: "r", GPUs: gpus(GPUStopped, GPUStopped)}, false},
		{keyed, Presence{Run: "r", Tokens: true}, false},
		{keyed, Presence{Run: "other"}, false},
		{earlier, Presence{Run: "r"}, false},
	} {
		if got := c.run.TooOld(c.consumer); got != c.want {
			t.Errorf("%+v is too old: %v", c.consumer, got)
		}
	}
}
