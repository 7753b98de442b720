package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Options are the generation options of a request. What is not set is the model's own default.
//
// The fields are the one list of all options. The tag json is the name in the store, in messages
// and on the wire to a model server; with wire:"-" no server is told. The name of the flag follows
// from that of the field, help and placeholder describe it to people, and range is what a number
// may be: an interval in the usual notation. The tag openai has the names of the parameters that
// ask for the same in OpenAI's API, the newest first. What is new here needs a line in no other
// place. With kong:"-" the flag is made elsewhere, because it says more than the value.
type Options struct {
	Temperature      *float64 `json:"temperature,omitempty" openai:"temperature" range:"[0,5]" placeholder:"T" help:"Sampling temperature. Default: the model's own."`
	TopP             *float64 `json:"top_p,omitempty" openai:"top_p" range:"(0,1]" placeholder:"P" help:"Nucleus sampling. Default: the model's own."`
	TopK             *int     `json:"top_k,omitempty" openai:"top_k" range:"[1,)" placeholder:"K" help:"Top-k sampling. Default: the model's own."`
	MinP             *float64 `json:"min_p,omitempty" openai:"min_p" range:"[0,1]" placeholder:"P" help:"Leave out tokens that are less likely than this share of the likeliest one. Default: the model's own."`
	RepeatPenalty    *float64 `json:"repeat_penalty,omitempty" openai:"repetition_penalty,repeat_penalty" range:"(0,10]" placeholder:"R" help:"How much a repeated token is punished; 1 is not at all. Default: the model's own."`
	PresencePenalty  *float64 `json:"presence_penalty,omitempty" openai:"presence_penalty" range:"[-2,2]" placeholder:"R" help:"How much a token is punished that was there already. Default: the model's own."`
	FrequencyPenalty *float64 `json:"frequency_penalty,omitempty" openai:"frequency_penalty" range:"[-2,2]" placeholder:"R" help:"How much a token is punished for each time that it was there. Default: the model's own."`
	NumPredict       int      `json:"num_predict" openai:"max_completion_tokens,max_tokens" range:"[1,131072]" placeholder:"N" help:"Tokens of an answer, at most. An answer that is cut off is not stored. Default: 1024 for a run, 8192 if thinking is asked for; for a redrive the run's own."` // always positive in a spec
	NumCtx           int      `json:"num_ctx,omitempty" openai:"num_ctx" wire:"-" range:"[1,)" placeholder:"N" help:"Tokens of prompt and answer together for which a model server has to have room, its context. A GPU whose server has less takes none of the run's batches. Servers are not told: it is a setting of theirs."`
	Stop             []string `json:"stop,omitempty" openai:"stop" sep:"none" placeholder:"TEXT" help:"Stop sequence; may be repeated."`
	Think            Think    `json:"think,omitempty" openai:"reasoning_effort" wire:"-" oneof:"auto,off,on,low,medium,high" placeholder:"off|on|low|medium|high" help:"Whether the model thinks before it answers, and for some models how much. What it thinks is stored beside the answer. Default: as the model does by itself (auto)."`
	Raw              bool     `json:"raw,omitempty" wire:"-" help:"Leave thinking that stands in tags, such as <think>, in the answer."`
	// Schema is what answers have to fit: a JSON Schema, which is an object, or AnyJSON. Its text is
	// compact JSON.
	Schema json.RawMessage `json:"schema,omitempty" openai:"response_format" kong:"-" wire:"-" help:"The JSON Schema that answers have to fit."`
}

// AnyJSON is the schema that every JSON value fits.
const AnyJSON = `"json"`

// An option is a field of Options.
type option struct {
	*optionTags
	value reflect.Value
}

// optionTags are what the tags of a field say.
type optionTags struct {
	flag   string   // as in flags: top-p
	name   string   // as in JSON: top_p
	bound  string   // what a number may be; empty: anything
	oneOf  string   // what a text may be, with commas; empty: anything
	wire   bool     // whether a model server is told
	openAI []string // the names in OpenAI's API, the newest first
}

// tagsOfOptions returns those of all fields, which are read once: each row of a dataset may ask for
// options.
var tagsOfOptions = sync.OnceValue(func() []optionTags {
	typ := reflect.TypeFor[Options]()
	list := make([]optionTags, typ.NumField())
	for i := range list {
		tag := typ.Field(i).Tag
		name, _, _ := strings.Cut(tag.Get("json"), ",")
		list[i] = optionTags{
			flag: strings.ReplaceAll(name, "_", "-"), name: name, bound: tag.Get("range"), oneOf: tag.Get("oneof"), wire: tag.Get("wire") != "-",
			openAI: strings.Split(tag.Get("openai"), ","),
		}
	}
	return list
})

// isSet reports whether the option has a value.
func (x option) isSet() bool {
	return !x.value.IsZero() && (x.value.Kind() != reflect.Slice || x.value.Len() > 0)
}

// plain returns the value, without the pointer.
func (x option) plain() any { return reflect.Indirect(x.value).Interface() }

// all returns all options in the order of the fields.
func (o *Options) all() []option {
	v, tags := reflect.ValueOf(o).Elem(), tagsOfOptions()
	list := make([]option, len(tags))
	for i := range list {
		list[i] = option{&tags[i], v.Field(i)}
	}
	return list
}

// validate returns a *SpecError for the first option that is not valid.
func (o Options) validate() error {
	if o.NumPredict == 0 { // which would count as not set
		return &SpecError{"num-predict", fmt.Sprintf("0 is not in 1..%d", MaxNumPredict)}
	}
	return o.Check()
}

// Check returns a *SpecError for the first option that is set and not valid.
func (o Options) Check() error {
	for _, x := range o.all() {
		if !x.isSet() {
			continue
		}
		if text := x.value.String(); x.oneOf != "" && !slices.Contains(strings.Split(x.oneOf, ","), text) {
			return &SpecError{x.flag, fmt.Sprintf("%q is none of %s", text, strings.ReplaceAll(x.oneOf, ",", ", "))}
		}
		if x.bound == "" {
			continue
		}
		number := reflect.Indirect(x.value)
		var is float64
		if number.CanInt() {
			is = float64(number.Int())
		} else {
			is = number.Float()
		}
		if problem := outside(is, x.bound); problem != "" {
			return &SpecError{x.flag, problem}
		}
	}
	for _, stop := range o.Stop {
		if stop == "" {
			return &SpecError{"stop", "an empty stop sequence would end every answer at once"}
		}
	}
	return o.checkSchema()
}

// checkSchema returns a *SpecError if the schema cannot be one. What it says is checked where it is
// read.
func (o Options) checkSchema() error {
	switch {
	case len(o.Schema) == 0:
		return nil
	case len(o.Schema) > MaxSchemaBytes:
		return &SpecError{"schema", fmt.Sprintf("has %d bytes, the limit is %d", len(o.Schema), MaxSchemaBytes)}
	case !utf8.Valid(o.Schema) || !json.Valid(o.Schema):
		return &SpecError{"schema", "is no JSON"}
	case o.Schema[0] != '{' && string(o.Schema) != AnyJSON:
		return &SpecError{"schema", "is no JSON object"}
	case o.Raw:
		return &SpecError{"raw", "leaves thinking in the answer, which then fits no schema: leave it out"}
	}
	return nil
}

// outside says that a number is not in an interval such as (0,1], or returns nothing.
func outside(is float64, interval string) string {
	from, to, _ := strings.Cut(interval[1:len(interval)-1], ",")
	low, err := strconv.ParseFloat(from, 64)
	if err != nil { // the tags of Options are right, as a test says
		panic(err)
	}
	high := math.Inf(1)
	if to != "" {
		if high, err = strconv.ParseFloat(to, 64); err != nil {
			panic(err)
		}
	}
	withoutLow := interval[0] == '('
	switch {
	case is > low && is <= high, is == low && !withoutLow: // and NaN is in none
		return ""
	case to == "":
		return fmt.Sprintf("%s is not %s or more", shortest(is), from)
	case withoutLow:
		return fmt.Sprintf("%s is not in %s..%s, %s excluded", shortest(is), from, to, from)
	}
	return fmt.Sprintf("%s is not in %s..%s", shortest(is), from, to)
}

func shortest(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Wire returns the options that a model server is told, by name.
func (o Options) Wire() map[string]any {
	wire := map[string]any{}
	for _, x := range o.all() {
		if x.wire && x.isSet() {
			wire[x.name] = x.plain()
		}
	}
	return wire
}

// With returns the options with those of p that are set.
func (o Options) With(p Options) Options {
	ours, theirs := o.all(), p.all()
	for i, x := range theirs {
		if x.isSet() {
			ours[i].value.Set(x.value)
		}
	}
	return o
}

// differences names the options, as in flags, that are not the same in both.
func (o Options) differences(p Options) (names []string) {
	theirs := p.all()
	for i, x := range o.all() {
		if !x.same(theirs[i]) {
			names = append(names, x.flag)
		}
	}
	return names
}

// same reports whether an option is the same as y, which is that of other options.
func (x option) same(y option) bool {
	if x.isSet() == y.isSet() && (!x.isSet() || reflect.DeepEqual(x.plain(), y.plain())) {
		return true
	}
	switch a := x.value.Interface().(type) {
	case Think:
		b, _ := y.value.Interface().(Think)
		return a.same(b)
	case json.RawMessage:
		b, _ := y.value.Interface().(json.RawMessage)
		return bytes.Equal(escaped(a), escaped(b))
	}
	return false
}

// escaped returns JSON with <, > and & escaped, as some encoders do and others do not.
func escaped(text json.RawMessage) []byte {
	var b bytes.Buffer
	json.HTMLEscape(&b, text)
	return b.Bytes()
}

// Flags shows the options that are set, each with the flag that asks for it.
func (o Options) Flags() (flags []string) {
	for _, x := range o.all() {
		if !x.isSet() {
			continue
		}
		switch v := x.plain().(type) {
		case bool:
			flags = append(flags, x.flag)
		case json.RawMessage: // too long to be shown
			if string(v) == AnyJSON {
				flags = append(flags, "schema json")
			} else {
				flags = append(flags, fmt.Sprintf("schema of %d bytes", len(v)))
			}
		case []string:
			for _, each := range v {
				flags = append(flags, fmt.Sprintf("%s %q", x.flag, each))
			}
		default:
			flags = append(flags, fmt.Sprintf("%s %v", x.flag, v))
		}
	}
	return flags
}

// isPlain reports whether programs that know no options but those of the first versions do right
// by these.
func (o Options) isPlain() bool {
	for _, x := range o.all() {
		switch x.name {
		case "temperature", "top_p", "top_k", "num_predict", "stop", "raw":
		case "think":
			if !o.Think.IsOff() {
				return false
			}
		default:
			if x.isSet() {
				return false
			}
		}
	}
	return true
}
