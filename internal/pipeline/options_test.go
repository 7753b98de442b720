package pipeline

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEachOptionIsDescribedAtOnePlace(t *testing.T) {
	var o Options
	typ := reflect.TypeOf(o)
	for i, x := range o.all() {
		tag := typ.Field(i).Tag
		if x.name == "" || !strings.Contains(tag.Get("help"), ".") || !strings.EqualFold(strings.ReplaceAll(x.flag, "-", ""), typ.Field(i).Name) {
			t.Errorf("%s: the name %q, the flag %q and the help %q", typ.Field(i).Name, x.name, x.flag, tag.Get("help"))
		}
		kind := reflect.Indirect(reflect.New(typ.Field(i).Type)).Type()
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if number := kind.Kind() == reflect.Int || kind.Kind() == reflect.Float64; number != (x.bound != "") {
			t.Errorf("%s has the range %q", x.flag, x.bound)
		}
		if x.bound != "" {
			outside(0.5, x.bound) // which panics if it is no interval
		}
	}
	if !strings.Contains(typ.Field(7).Tag.Get("help"), strconv.Itoa(DefaultNumPredict)) {
		t.Error("the default of num-predict is another one than its help says")
	}
	for interval, want := range map[string]string{"[0,5]": "-1 is not in 0..5", "(0,1]": "-1 is not in 0..1, 0 excluded", "[1,)": "-1 is not 1 or more"} {
		if got := outside(-1, interval); got != want {
			t.Errorf("%s: %q, want %q", interval, got, want)
		}
	}
	if got := outside(MaxNumPredict, "[1,131072]"); got != "" || outside(MaxNumPredict+1, "[1,131072]") == "" {
		t.Errorf("the range of num-predict does not end at MaxNumPredict: %q", got)
	}
}

func TestOptionsThatAreNotSetAreNotSent(t *testing.T) {
	zero, penalty := 0.0, -0.5
	o := Options{Temperature: &zero, PresencePenalty: &penalty, NumPredict: 7, Raw: true}
	if diff := cmp.Diff(map[string]any{"temperature": 0.0, "presence_penalty": -0.5, "num_predict": 7}, o.Wire()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOptionsOfARedriveReplaceThoseOfTheRun(t *testing.T) {
	warm, cold, most := 1.0, 0.0, 5
	run := Options{Temperature: &warm, TopK: &most, NumPredict: 10, Stop: []string{"a"}}
	got := run.With(Options{Temperature: &cold, NumPredict: 20})
	if diff := cmp.Diff(Options{Temperature: &cold, TopK: &most, NumPredict: 20, Stop: []string{"a"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if run.NumPredict != 10 || *run.Temperature != 1 {
		t.Errorf("the run's own changed: %v", run)
	}
}

// Programs of earlier versions would leave an option out in silence that they do not know.
func TestOnlyNewProgramsTakeWorkWithNewOptions(t *testing.T) {
	low := 0.1
	for _, c := range []struct {
		name    string
		options Options
		want    int
	}{
		{"the first options", Options{Temperature: &low, TopP: &low, NumPredict: 5, Stop: []string{"x"}, Raw: true}, 2},
		{"a later one", Options{MinP: &low, NumPredict: 5}, 4},
		{"a schema", Options{Schema: json.RawMessage(AnyJSON), NumPredict: 5}, 4},
	} {
		data, err := EncodeWork(Work{Run: "r", Round: 1, Model: "m", Options: c.options, Generations: []Generation{{Messages: User("q")}}})
		if err != nil {
			t.Fatal(err)
		}
		var wire struct{ Version int }
		if err := json.Unmarshal(data, &wire); err != nil || wire.Version != c.want {
			t.Errorf("%s: version %d, want %d (%v)", c.name, wire.Version, c.want, err)
		}
	}
}

// The name of a run that was given none follows from its spec: earlier versions made the same.
func TestTheFirstOptionsAreEncodedAsEver(t *testing.T) {
	half, most := 0.5, 40
	data, err := Encode(Options{Temperature: &half, TopP: &half, TopK: &most, NumPredict: 64, Stop: []string{"x"}, Raw: true})
	if want := `{"temperature":0.5,"top_p":0.5,"top_k":40,"num_predict":64,"stop":["x"],"raw":true}`; err != nil || string(data) != want {
		t.Errorf("%s, want %s (%v)", data, want, err)
	}
}

func TestARunOfAnEarlierVersionIsTheSameWhereNothingIsSaidOfThinking(t *testing.T) {
	with := func(think Think) Spec { return Spec{Options: Options{NumPredict: 1, Think: think}} }
	for _, c := range []struct {
		run, asked Think
		same       bool
	}{
		{"", ThinkAuto, true}, {"", ThinkOff, true}, {ThinkOff, "", true}, {"", ThinkOn, false},
		{ThinkAuto, ThinkAuto, true}, {ThinkAuto, ThinkOff, false}, {ThinkOff, ThinkAuto, false}, {ThinkLow, ThinkHigh, false},
	} {
		if got := with(c.asked).Differences(with(c.run)); (len(got) == 0) != c.same {
			t.Errorf("%q asked of a run with %q: it differs in %q", c.asked, c.run, got)
		}
	}
}

func TestTheSchemaOfARunIsComparedAndShownAndNotSentAmongTheOptions(t *testing.T) {
	with := func(schema string) Options { return Options{NumPredict: 1, Schema: json.RawMessage(schema)} }
	const plain, escaped = `{"title":"<b>"}`, `{"title":"\u003cb\u003e"}`
	for _, c := range []struct {
		run, asked string
		same       bool
	}{{"", "", true}, {plain, plain, true}, {plain, escaped, true}, {"", plain, false}, {plain, "", false}, {plain, AnyJSON, false}} {
		if got := (Spec{Options: with(c.asked)}).Differences(Spec{Options: with(c.run)}); (len(got) == 0) != c.same || !c.same && got[0] != "schema" {
			t.Errorf("%q asked of a run with %q: it differs in %q", c.asked, c.run, got)
		}
	}
	for schema, want := range map[string]string{AnyJSON: "schema json", plain: "schema of 15 bytes"} {
		if got := with(schema).Flags(); !slices.Contains(got, want) {
			t.Errorf("%s shows as %q", schema, got)
		}
	}
	if wire := with(plain).Wire(); len(wire) != 1 {
		t.Errorf("among the options there is %v", wire)
	}
	if got := with(plain).With(Options{NumPredict: 2}); string(got.Schema) != plain {
		t.Errorf("a redrive drops the schema: %s", got.Schema)
	}
}

func TestASchemaIsAnObjectOfLimitedSize(t *testing.T) {
	for schema, says := range map[string]string{
		"": "", AnyJSON: "", "{}": "", "true": "no JSON object", `"yaml"`: "no JSON object", "{": "no JSON", "{\"\xff\":1}": "no JSON",
		`{"title":"` + strings.Repeat("x", MaxSchemaBytes) + `"}`: "the limit is 65536",
	} {
		err := Options{NumPredict: 1, Schema: json.RawMessage(schema)}.Check()
		if (err == nil) != (says == "") || err != nil && (!strings.HasPrefix(err.Error(), "schema: ") || !strings.Contains(err.Error(), says)) {
			t.Errorf("%.40q: %v, want %q", schema, err, says)
		}
	}
}

func TestThinkingIsOneOfItsWords(t *testing.T) {
	for think, ok := range map[Think]bool{"": true, ThinkAuto: true, ThinkHigh: true, "yes": false, "o": false} {
		if err := (Options{NumPredict: 1, Think: think}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", think, err)
		}
	}
}
