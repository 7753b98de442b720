package pipeline

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// FromOpenAI returns where the option is kept for which a parameter of OpenAI's API asks: a pointer
// to its field. It reports whether there is one; the pointer is nil if the parameter is an older
// name and the option is set already.
func (o *Options) FromOpenAI(parameter string) (field any, known bool) {
	tags := tagsOfOptions()
	for i := range tags {
		at := slices.Index(tags[i].openAI, parameter)
		if at < 0 || parameter == "" {
			continue
		}
		x := option{&tags[i], reflect.ValueOf(o).Elem().Field(i)}
		if at > 0 && x.isSet() {
			return nil, true
		}
		return x.value.Addr().Interface(), true
	}
	return nil, false
}

// Sets reports whether an option is set, by its name as in flags.
func (o *Options) Sets(name string) bool {
	tags := tagsOfOptions()
	i := slices.IndexFunc(tags, func(t optionTags) bool { return t.flag == name })
	return i >= 0 && option{&tags[i], reflect.ValueOf(o).Elem().Field(i)}.isSet()
}

// An Asked option is one that something asks for.
type Asked struct {
	Option    string // as in flags: num-predict
	Parameter string // of OpenAI's API that asks for it: max_completion_tokens
	Flags     string // what asks a run for it: --num-predict 256
	Has       string // what there is in its place, in the same form; empty: nothing
}

// asked returns what asks for the option, which is set.
func (x option) asked() Asked {
	return Asked{x.flag, x.openAI[0], strings.Join(x.commandLine(), " "), ""}
}

// Asked returns the options that are set.
func (o Options) Asked() (list []Asked) {
	for _, x := range o.all() {
		if x.isSet() {
			list = append(list, x.asked())
		}
	}
	return list
}

// Lacks returns what others ask for and these options have not, or have in another way.
func (o Options) Lacks(others Options) (list []Asked) {
	ours := o.all()
	for i, x := range others.all() {
		if !x.isSet() || x.same(ours[i]) {
			continue
		}
		a := x.asked()
		if ours[i].isSet() {
			a.Has = strings.Join(ours[i].commandLine(), " ")
		}
		list = append(list, a)
	}
	return list
}

// Only returns the options of these names, as in flags, and no other.
func (o Options) Only(names []string) Options {
	for _, x := range o.all() {
		if !slices.Contains(names, x.flag) {
			x.value.SetZero()
		}
	}
	return o
}

// Unset returns the names, as in flags, of the options that are not set.
func (o Options) Unset() (names []string) {
	for _, x := range o.all() {
		if !x.isSet() {
			names = append(names, x.flag)
		}
	}
	return names
}

// commandLine returns the flags that ask for the option, as they are typed into a shell.
func (x option) commandLine() (flags []string) {
	var words []string
	switch v := x.plain().(type) {
	case bool:
		return []string{"--" + x.flag}
	case json.RawMessage:
		words = []string{inShell(strings.TrimSuffix(strings.TrimPrefix(string(v), `"`), `"`))}
	case []string:
		for _, each := range v {
			words = append(words, inShell(each))
		}
	case float64:
		words = []string{shortest(v)}
	default:
		words = []string{fmt.Sprint(v)}
	}
	for _, word := range words {
		between := " "
		if strings.HasPrefix(word, "-") { // else it looks like a flag
			between = "="
		}
		flags = append(flags, "--"+x.flag+between+word)
	}
	return flags
}

// inShell returns a text as one word of a command line.
func inShell(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		var b strings.Builder
		for _, r := range word {
			switch {
			case r == '\n':
				b.WriteString(`\n`)
			case r == '\t':
				b.WriteString(`\t`)
			case r < ' ' || r == 0x7f:
				fmt.Fprintf(&b, `\x%02x`, r)
			case r == '\'' || r == '\\':
				b.WriteString("\\" + string(r))
			default:
				b.WriteRune(r)
			}
		}
		return "$'" + b.String() + "'"
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.,:/=+@", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
