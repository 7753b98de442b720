package pipeline

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// A RunState decides what may happen to a run.
type RunState string

// The states of a run.
const (
	RunLoading   RunState = "loading"   // items and batches are still being written; never published
	RunOpen      RunState = "open"      // sealed: everything is stored, batches may be published
	RunCancelled RunState = "cancelled" // nothing more is published
	RunDeleting  RunState = "deleting"  // its documents are being removed; never published, never loaded again
)

// A Run is one generation job: a dataset, a prompt, a model and its options.
type Run struct {
	Name        string    `json:"name"`
	UID         string    `json:"uid"` // a ULID, new with each load, which tells a run from a deleted one of the same name
	Spec        Spec      `json:"spec"`
	State       RunState  `json:"stored_state"`
	Items       int       `json:"items"`
	Generations int       `json:"generations"` // items times samples
	Batches     int       `json:"batches"`     // known once the run is open
	CreatedAt   time.Time `json:"created_at"`

	LongestPrompt int `json:"longest_prompt,omitempty"` // bytes of the longest request's messages; 0: not known
	// Pins are the digests of the model's weights by engine, of which every answer has to be; PinAny
	// allows any. What is not there is pinned by the first result.
	Pins map[EngineName]string `json:"pins,omitempty"`
	// Key makes the tokens of its batches. It is new with each load, and empty for a run that was
	// loaded before there were any.
	Key Key `json:"-"`
	// Pause is the last time in which the run was paused, which may go on; nil: there was none.
	Pause *RunPause `json:"pause,omitempty"`
}

// TooOld reports whether a consumer works on the run and does not bring back the tokens of its
// batches, so that its answers are refused.
func (r Run) TooOld(c Presence) bool {
	return len(r.Key) > 0 && c.Run == r.Name && !c.Tokens && !c.Left()
}

// A Spec defines what a run generates. It never changes once loaded: another model or prompt is
// another run.
type Spec struct {
	Model  string `json:"model"`
	System string `json:"system,omitempty"` // the same for every prompt, sent as it is
	Field  string `json:"field,omitempty"`  // the column that is the prompt, or a path to it
	Chats  bool   `json:"chats,omitempty"`  // that column holds chats, and not texts
	// Requests says that the rows are requests of OpenAI's batch API; nil: they are not.
	Requests *Requests `json:"requests,omitempty"`
	Prompt   string    `json:"prompt,omitempty"` // a template over the row's columns, in this language
	// Language is that of Prompt and System: Jinja, or empty for a run of an earlier version, whose
	// prompt is a template of Go's text/template and whose system prompt is a text.
	Language Language `json:"language,omitempty"`
	// Vars are further names of the templates, each with a JSON value.
	Vars map[string]json.RawMessage `json:"vars,omitempty"`
	// Prefill begins each answer, where the engine can go on with it.
	Prefill string `json:"prefill,omitempty"`
	// ID is the column that has the id by which the user knows a row, or a path to it. Empty: rows
	// are known by their number alone.
	ID string `json:"id,omitempty"`
	// SendEmpty says that rows are sent whose prompt is empty.
	SendEmpty bool    `json:"send_empty,omitempty"`
	Samples   int     `json:"samples"` // answers wanted for each item
	Batch     int     `json:"batch"`   // generations in a batch, at most
	Seed      int     `json:"seed"`
	Options   Options `json:"options"`
	// Simulated says that the run's answers are made up by simulated servers, and by no other.
	Simulated bool      `json:"simulated,omitempty"`
	Dataset   DatasetID `json:"dataset"`
	// Layout and ResponseField are the defaults of an export. They change no answer.
	Layout        string `json:"layout,omitempty"`
	ResponseField string `json:"response_field,omitempty"`
}

// Requests are rows that ask for options themselves.
type Requests struct {
	// Asks are the options of the spec, as in flags, that are there because rows ask for them: each
	// row has to ask for the same.
	Asks []string `json:"asks,omitempty"`
}

// A Language is that of templates.
type Language string

// Jinja is the language of templates that people know from Python.
const Jinja Language = "jinja"

// SimulatedPrefix begins the name of every simulated model, so that none of them bears the name of
// a real one.
const SimulatedPrefix = "simulated/"

// SimulatedModel returns the name under which a simulated server has a model.
func SimulatedModel(name string) string {
	if name == "" || strings.HasPrefix(name, SimulatedPrefix) {
		return name
	}
	return SimulatedPrefix + name
}

// A DatasetID identifies the source of a run's items.
type DatasetID struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // SHA-256 of the rows that were taken, in order, each in one spelling
	// Skipped is how many rows were left out because they could not be used.
	Skipped int `json:"skipped,omitempty"`
	// Nulled is how many numbers of the rows were NaN or Infinity, which are null here.
	Nulled int `json:"nulled,omitempty"`
	// Columns are the names of the rows' columns, in the order in which they came first. Empty where
	// they are too many to keep, and in a run of an earlier version.
	Columns []string `json:"columns,omitempty"`
	// Files are keys of the files of the rows, by which an export knows not to overwrite them.
	Files []string `json:"files,omitempty"`
}

var runName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ValidateRunName returns a *SpecError if a run's name is not allowed.
func ValidateRunName(name string) error {
	if !runName.MatchString(name) {
		return &SpecError{"run", fmt.Sprintf("%q is not allowed: use 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit", name)}
	}
	return nil
}

// A SpecError names the field of a spec that is not valid.
type SpecError struct {
	Field   string // as in flags: "samples", "top-p"
	Problem string
}

// Error begins with the name of the field.
func (e *SpecError) Error() string { return e.Field + ": " + e.Problem }

// Validate returns a *SpecError for the first field that is not valid.
func (s Spec) Validate() error {
	switch {
	case s.Model == "":
		return &SpecError{"model", "is missing"}
	case s.Simulated && !strings.HasPrefix(s.Model, SimulatedPrefix):
		return &SpecError{"model", fmt.Sprintf("%s is the name of a real one: simulated ones are called %s", s.Model, SimulatedModel("NAME"))}
	case !s.Simulated && strings.HasPrefix(s.Model, SimulatedPrefix):
		return &SpecError{"model", fmt.Sprintf("%s is a simulated one, whose answers are made up: ask for it with --simulate, or name a real one", s.Model)}
	case s.Field == "" && s.Prompt == "":
		return &SpecError{"field", "is missing: name the column that holds the instruction, or give a prompt template"}
	case s.Field != "" && s.Prompt != "":
		return &SpecError{"field", "cannot be combined with a prompt template"}
	case len(s.System) > MaxSystemBytes:
		return &SpecError{"system", fmt.Sprintf("has %d bytes, the limit is %d", len(s.System), MaxSystemBytes)}
	}
	for _, v := range []struct{ field, text string }{
		{"model", s.Model}, {"field", s.Field}, {"id", s.ID}, {"prompt", s.Prompt}, {"system", s.System}, {"stop", strings.Join(s.Options.Stop, "\n")},
	} {
		if !utf8.ValidString(v.text) { // JSON would change it, and the stored run would differ from the one that was given
			return &SpecError{v.field, "is not valid UTF-8"}
		}
	}
	for _, v := range []struct {
		field         string
		is, low, high int
	}{
		{"samples", s.Samples, 1, MaxSamples},
		{"batch", s.Batch, 1, MaxBatch},
	} {
		if v.is < v.low || v.is > v.high {
			return &SpecError{v.field, fmt.Sprintf("%d is not in %d..%d", v.is, v.low, v.high)}
		}
	}
	return s.Options.validate()
}

// Differences returns the names, as in flags, of the fields in which two specs ask for different
// results. The digest of the dataset counts, its name does not.
func (s Spec) Differences(t Spec) []string {
	var names []string
	for _, f := range []struct {
		name string
		a, b any
	}{
		{"dataset", s.Dataset.Digest, t.Dataset.Digest},
		{"model", s.Model, t.Model},
		{"system", s.System, t.System},
		{"field", s.Field, t.Field},
		{"prompt", []string{string(s.Language), s.Prompt}, []string{string(t.Language), t.Prompt}},
		{"var", len(s.Vars)+len(t.Vars) == 0 || reflect.DeepEqual(s.Vars, t.Vars), true},
		{"prefill", s.Prefill, t.Prefill},
		{"id", s.ID, t.ID},
		{"empty", s.SendEmpty, t.SendEmpty},
		{"samples", s.Samples, t.Samples},
		{"batch", s.Batch, t.Batch},
		{"seed", s.Seed, t.Seed},
		{"simulate", s.Simulated, t.Simulated},
	} {
		if !reflect.DeepEqual(f.a, f.b) {
			names = append(names, f.name)
		}
	}
	return append(names, s.Options.differences(t.Options)...)
}
