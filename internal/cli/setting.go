package cli

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"gleaner/internal/cli/jobfile"
	"gleaner/internal/text"
)

// A Setting is what is in force for a flag of a command.
type Setting struct {
	Flag  string `json:"flag"`
	Value any    `json:"value"` // null: not set
	From  string `json:"from"`

	isChosen bool // it is neither the default nor not set
}

// settingsOf returns what is in force for each flag of a parsed command, in the order of the help,
// and which keys of the job file it has no use for.
func settingsOf(parsed *kong.Context, job *jobfile.Job) (settings []Setting, ignored []string) {
	hidden := append(job.Secrets(), text.SecretsOf(os.Getenv(keyVariable), os.Getenv("HF_TOKEN"))...)
	used := map[string]bool{}
	for _, p := range parsed.Path {
		for _, flag := range p.Flags {
			if flag.Hidden || flag.Name == "help" || flag.Name == "version" {
				continue
			}
			s := Setting{Flag: flag.Name, From: "not set"}
			s.From, s.isChosen = sourceOf(parsed, job, flag, p.Flags)
			if s.isChosen || flag.HasDefault {
				s.Value = shown(flag, job.Written(flag), hidden, slices.Contains(fromFile(parsed), flag.Name))
			}
			settings = append(settings, s)
			used[flag.Name] = true
			if flag.Name == "ollama" && os.Getenv(keyVariable) != "" {
				settings = append(settings, Setting{keyVariable, "…", "environment", true})
			}
		}
	}
	for _, key := range job.Flags() {
		if !used[key] {
			ignored = append(ignored, key)
		}
	}
	return settings, ignored
}

// InForce returns what is in force for the flags of the command that runs, without those that are
// as by default or not set. Passwords are not shown.
type InForce func() []Setting

// chosen returns the settings that are neither the default nor not set.
func chosen(parsed *kong.Context, job *jobfile.Job) []Setting {
	settings, _ := settingsOf(parsed, job)
	return slices.DeleteFunc(settings, func(s Setting) bool { return !s.isChosen })
}

// Cells returns the setting for a line of a table: the flag, its value, and where that is from.
func (s Setting) Cells() []string { return []string{s.Flag, cell(s.Value), s.From} }

// keyVariable is a variable for which there is no flag, because it is a secret.
const keyVariable = "OLLAMA_API_KEY"

// sourceOf says where the value of a flag comes from, and of the job file why that is not in force.
func sourceOf(parsed *kong.Context, job *jobfile.Job, flag *kong.Flag, siblings []*kong.Flag) (from string, isChosen bool) {
	inFile := job.Where(flag.Name)
	instead := func(from string) string {
		if inFile != "" {
			return from + ", instead of " + inFile
		}
		return from
	}
	otherwise := "not set"
	if flag.HasDefault {
		otherwise = "default"
	}
	for _, p := range parsed.Path {
		if p.Flag == flag && !p.Resolved {
			return instead("command line"), true
		}
	}
	variable := jobfile.Variable(flag)
	empty := slices.IndexFunc(flag.Tag.Envs, func(name string) bool { _, ok := os.LookupEnv(name); return ok })
	switch {
	case variable != "":
		return instead("environment, " + variable), true
	case inFile == "" && empty >= 0:
		return "environment, " + flag.Tag.Envs[empty] + ", which is empty", true
	case inFile == "":
		return otherwise, false
	case !jobfile.Takes(flag, siblings):
		return otherwise + "; " + inFile + " does not count here: say it on the command line", false
	case jobfile.Replaced(parsed, flag) != "":
		return otherwise + "; --" + jobfile.Replaced(parsed, flag) + " counts instead of " + inFile, false
	}
	return inFile, true
}

var address = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://`)

// isWhole reports whether a flag takes a secret as a whole, or the file that holds it.
func isWhole(flag string) bool {
	return slices.Contains([]string{"nats-creds", "invite", "creds", "signing-key"}, flag)
}

// shown returns the value of a flag as it may be shown. Written is how the job file writes it, if
// there are variables in it, and counts if the value is from there.
func shown(flag *kong.Flag, written string, hidden text.Secrets, isFromFile bool) any {
	mask := func(word string) string {
		switch {
		case isWhole(flag.Name) && text.MayBeSecret(word):
			return "…"
		case strings.HasPrefix(word, "hf://"), strings.HasPrefix(word, "sqlite:"):
		case holdsSecret("--"+flag.Name) && !isWhole(flag.Name), address.MatchString(word) && !strings.Contains(word, "\n"):
			word = text.Address(word)
		}
		return hidden.Hide(word)
	}
	if isFromFile && written != "" {
		return mask(written)
	}
	value := flag.Target
	for value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return nil
		}
		value = value.Elem()
	}
	_, isText := value.Interface().(fmt.Stringer)
	_, isTime := value.Interface().(time.Duration)
	switch kind := value.Kind(); {
	case kind == reflect.Slice:
		words := []string{}
		for i := range value.Len() {
			words = append(words, mask(fmt.Sprint(value.Index(i))))
		}
		return words
	case kind == reflect.Bool, !isText && !isTime && (value.CanInt() || value.CanUint() || value.CanFloat()):
		return value.Interface()
	}
	return mask(fmt.Sprint(value))
}

// widest is how many columns the value of a flag has in the table, at most.
const widest = 60

// printSettings prints a table.
func printSettings(t *Terminal, verb string, job *jobfile.Job, settings []Setting, ignored []string, all bool) error {
	if job == nil {
		fmt.Fprintf(t.Out, "%s, without a file (there is no %s here)\n\n", verb, jobfile.Name)
	} else {
		fmt.Fprintf(t.Out, "%s, with %s\n\n", verb, job.Path())
	}
	table := Grid{Columns: t.TextColumns(), Clip: []int{1}}
	table.Head("FLAG", "VALUE", "FROM")
	left := 0
	for _, s := range settings {
		if !all && !s.isChosen && !strings.Contains(s.From, ";") {
			left++
			continue
		}
		table.Line(s.Cells()...)
	}
	if _, err := io.WriteString(t.Out, table.Take()); err != nil {
		return err
	}
	if left > 0 {
		fmt.Fprintf(t.Out, "\n%d more are as by default or not set: --all shows them\n", left)
	}
	if len(ignored) > 0 {
		fmt.Fprintf(t.Out, "\nIn %s, but not for %s: %s\n", job.Path(), verb, strings.Join(ignored, ", "))
	}
	return nil
}

// cell returns a value for a cell of the table. A text that could be taken for something else is
// quoted.
func cell(value any) string {
	word := ""
	switch v := value.(type) {
	case nil:
		return ""
	case []string:
		for i, each := range v {
			v[i] = quotedIf(each, strings.Contains(each, ","))
		}
		word = strings.Join(v, ", ")
	case string:
		word = quotedIf(v, v == "")
	default:
		word = fmt.Sprint(v)
	}
	return text.Clip(word, widest)
}

// quotedIf quotes a text if that is asked for, and if it would not be seen as it is.
func quotedIf(word string, quote bool) string {
	if quote || strings.TrimSpace(word) != word || strings.ContainsAny(word, "\n\t\r\v\f") {
		return strconv.Quote(word)
	}
	return word
}
