package cli

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"gleaner/internal/text"
)

// elsewhere is what other programs of the field call our flags.
var elsewhere = map[string]string{
	"max-tokens": "num-predict", "max-new-tokens": "num-predict", "max-completion-tokens": "num-predict", "max-output-tokens": "num-predict", "n-predict": "num-predict",
	"n": "samples", "num-samples": "samples", "num-return-sequences": "samples", "num-generations": "samples",
	"output": "out", "output-file": "out", "o": "out", "save": "out", "dataset": "input", "data-file": "input", "file": "input", "i": "input",
	"column": "field", "prompt-column": "field", "text-column": "field", "template": "prompt", "prompt-template": "prompt", "system-prompt": "system", "system-message": "system",
	"temp": "temperature", "context": "num-ctx", "ctx": "num-ctx", "context-length": "num-ctx", "max-model-len": "num-ctx", "n-ctx": "num-ctx",
	"host": "ollama", "base-url": "ollama", "api-base": "ollama", "url": "ollama", "ollama-host": "ollama", "ollama-url": "ollama",
	"concurrency": "slots", "parallel": "slots", "workers": "slots", "num-parallel": "slots", "num-workers": "slots", "max-concurrency": "slots", "threads": "slots",
	"split": "input-split", "config-name": "subset", "name": "run", "batch-size": "batch", "format": "layout", "response-format": "schema", "json-schema": "schema",
	"reasoning-effort": "think", "thinking": "think", "enable-thinking": "think", "max-rows": "limit", "num-rows": "limit", "max-samples": "limit",
	"mongodb": "store", "mongodb-uri": "store", "mongo": "store", "db": "store", "nats": "nats-url", "creds": "nats-creds", "folder": "data", "dir": "data", "data-dir": "data",
	"duration": "for", "gpu": "gpus", "timeout": "answer-limit", "stop-sequence": "stop", "random-seed": "seed",
}

var (
	unknownFlag = regexp.MustCompile(`^unknown flag -*([^\s,]*)`)
	noValue     = regexp.MustCompile(`^--([^\s:]+): (?:missing value|expected .* value but got "EOL" \(<EOL>\)|expected .* but got "EOL".*)`)
	aFlag       = regexp.MustCompile(`^--([^\s:]+): expected .* value but got "(.*)" \((?:long|short) flag\)`)
	wrongValue  = regexp.MustCompile(`(?s)^--([^\s:]+): expected .* but got (".*?")(?: \(.*\)|: .*)?$`)
	notOneOf    = regexp.MustCompile(`(?s)^(--[^\s:]+|<[^>]+>) must be one of (.*) but got (".*")$`)
)

// wrongUse says what is wrong with a command line in the words of who typed it.
func wrongUse(err error, command *kong.Context) string {
	said, flags := err.Error(), flagsOf(command)
	if m := unknownFlag.FindStringSubmatch(said); m != nil {
		return "there is no flag " + typed(m[1]) + meant(strings.ReplaceAll(strings.ToLower(m[1]), "_", "-"), flags)
	}
	if m := noValue.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("--%s needs a value: %s", m[1], takes(flags, m[1]))
	}
	if m := aFlag.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("--%s needs a value: %s; if %s is meant as one, write --%s=%s", m[1], takes(flags, m[1]), m[2], m[1], m[2])
	}
	if m := notOneOf.FindStringSubmatch(said); m != nil {
		words := enumOf(strings.ReplaceAll(m[2], `"`, ""))
		near := ""
		if n := text.Nearest(strings.Trim(m[3], `"`), words); n != "" {
			near = ": did you mean " + n + "?"
		}
		return fmt.Sprintf("%s takes %s, not %s%s", m[1], alternatives(words), m[3], near)
	}
	if m := wrongValue.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("--%s takes %s, not %s", m[1], takes(flags, m[1]), m[2])
	}
	return said
}

// typed returns a flag as it is typed.
func typed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// meant says which of the flags was probably meant by a wrong name.
func meant(name string, flags []*kong.Flag) string {
	var names []string
	for _, f := range flags {
		names = append(names, f.Name)
	}
	near := elsewhere[name]
	if !slices.Contains(names, near) {
		near = text.Nearest(name, names)
	}
	if near == "" {
		return ""
	}
	return ": did you mean --" + near + "?"
}

// flagsOf returns the flags that count for the command as far as it was understood.
func flagsOf(command *kong.Context) (flags []*kong.Flag) {
	if command == nil {
		return nil
	}
	for _, p := range command.Path {
		flags = append(flags, p.Flags...)
	}
	return slices.DeleteFunc(flags, func(f *kong.Flag) bool { return f.Hidden })
}

// takes says what kind of value a flag takes.
func takes(flags []*kong.Flag, name string) string {
	i := slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == name })
	if i < 0 {
		return "another value"
	}
	kind := flags[i].Target.Type()
	for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
		kind = kind.Elem()
	}
	switch {
	case flags[i].Enum != "":
		return alternatives(enumOf(flags[i].Enum))
	case kind == reflect.TypeFor[time.Duration]():
		return "a time such as 45s, 10m or 1h30m"
	case kind.Kind() == reflect.Float64:
		return "a number such as 0.7"
	case kind.Kind() >= reflect.Int && kind.Kind() <= reflect.Uint64:
		return "a whole number"
	case kind.Kind() == reflect.Bool:
		return "true or false, or nothing"
	case flags[i].Tag.Has("placeholder"):
		return flags[i].Tag.Get("placeholder")
	}
	return "a text"
}

// alternatives lists words of which one is to be chosen.
func alternatives(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// verb returns a program with its command, as far as that was understood.
func verb(program string, command *kong.Context) string {
	words := []string{program}
	if command != nil {
		for _, p := range command.Path {
			if p.Command != nil && !p.Command.Hidden {
				words = append(words, p.Command.Name)
			}
		}
	}
	return strings.Join(words, " ")
}
