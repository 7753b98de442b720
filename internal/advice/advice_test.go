package advice

import "testing"

func TestACommandIsSpelledForWhoReadsIt(t *testing.T) {
	defer caller.Store(caller.Load())
	for _, c := range []struct {
		caller Caller
		verb   string
		args   []string
		want   string
	}{
		{Caller{Program: "producer"}, "dead redrive", []string{"--run", "r"}, "producer dead redrive --run r"},
		{Caller{Program: "consumer"}, "publish", []string{"--run", "r", "--follow"}, "producer publish --run r --follow"},
		{Caller{Program: "producer"}, "show", []string{"--run", "r"}, "sink show --run r"},
		{Caller{Program: "sink"}, "sink", nil, "sink serve"},
		{Caller{Program: "sink"}, "run", nil, "gleaner run"},
		{Caller{Program: "gleaner", Flags: []string{"--data", "my runs"}}, "dead redrive", []string{"--run", "r"}, "gleaner dead redrive --run r --data 'my runs'"},
		{Caller{Program: "gleaner"}, "work", nil, "gleaner work"},
		{Caller{Program: "gleaner"}, "dead list", []string{"--row", "it's"}, `gleaner dead list --row 'it'\''s'`},
	} {
		Set(c.caller)
		if got := Command(c.verb, c.args...); got != c.want {
			t.Errorf("%v of %v: %s, want %s", c.verb, c.caller, got, c.want)
		}
	}
	Set(Caller{Program: "gleaner", Flags: []string{"--data", "d"}})
	if got := Anywhere("load", "--run", "r"); got != "gleaner load --run r" {
		t.Errorf("without flags: %s", got)
	}
}
