package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gleaner/internal/pipeline"
)

// Gleaner's own columns, by their usual names.
const (
	columnResponse      = "response"
	columnReasoning     = "reasoning"
	columnProvenance    = "gleaner" // or the beginning of its names, if it is flat
	columnMessages      = "messages"
	columnConversations = "conversations"
	columnInstruction   = "instruction"
	columnInput         = "input"
	columnOutput        = "output"
	columnSystem        = "system"
	columnHistory       = "history"
	columnPrompt        = "prompt"
	columnCompletion    = "completion"
	columnID            = "id"
	columnCustomID      = "custom_id"
	columnError         = "error"
	columnTools         = "tools"
	columnReference     = "reference"
)

// Names says how the columns of an export are called, settled before anything is generated.
type Names struct {
	// Ours maps the usual names of Gleaner's columns to the ones that they have, where these
	// differ.
	Ours map[string]string `json:"ours,omitempty"`
	// Only are the columns of the rows that are written, in this order; empty: all, as they stand
	// in the row. Others says that those that are not named are written, too, all in the row's
	// order.
	Only   []string `json:"only,omitempty"`
	Others bool     `json:"others,omitempty"`
	// Dropped are columns of the rows that are left out.
	Dropped []string `json:"dropped,omitempty"`
	// Renamed maps columns of the rows to their new names.
	Renamed map[string]string `json:"renamed,omitempty"`
	// OwnInstruction says that in layout alpaca the row's instruction and input are written, and
	// not what was sent.
	OwnInstruction bool `json:"own_instruction,omitempty"`
	// RowTools says that the rows have a column of tools, so that those of the request are not
	// written once more.
	RowTools bool `json:"row_tools,omitempty"`
	// Notes say in words what is not called as usual.
	Notes []string `json:"notes,omitempty"`
}

// of returns the name of one of Gleaner's columns.
func (n Names) of(usual string) string {
	if name, ok := n.Ours[usual]; ok {
		return name
	}
	return usual
}

// Settle decides how the columns are called for rows with these columns. Where one of Gleaner's
// usual names is taken, the row's column stays and Gleaner's gets _2 (or _3, …), and a note says
// so; a name that the user gave and that is taken is an error.
func Settle(c Config, columns []string) (Names, error) {
	c = c.withDefaults()
	s := settling{config: c, names: Names{Ours: map[string]string{}}, columns: columns, taken: map[string]bool{}}
	picked, err := parseSelection(c.Columns, columns, s.flags())
	if err != nil {
		return Names{}, err
	}
	s.names.Only, s.names.Others, s.names.Dropped, s.names.Renamed = picked.only, picked.others, picked.dropped, picked.renamed
	if len(s.names.Only) == 0 && picked.others {
		s.names.Others = false
	}
	if err := s.replace(); err != nil {
		return Names{}, err
	}
	for _, column := range columns {
		if name, written := s.written(column); written {
			s.taken[name] = true
		}
	}
	s.fixed()
	if err := s.own(); err != nil {
		return Names{}, err
	}
	s.distracting()
	if c.Provenance != ProvenanceNone {
		s.provenance()
	}
	s.expanded()
	return s.names, nil
}

// settling is a call of Settle.
type settling struct {
	config  Config
	names   Names
	columns []string
	taken   map[string]bool // names of the file that are given away
}

// written returns the name under which a column of the rows is written, if it is.
func (s *settling) written(column string) (string, bool) {
	picked := selection{s.names.Only, s.names.Others, s.names.Dropped, s.names.Renamed}
	if !picked.keeps(column) {
		return "", false
	}
	if to, ok := s.names.Renamed[column]; ok {
		return to, true
	}
	return column, true
}

func (s *settling) note(format string, args ...any) {
	s.names.Notes = append(s.names.Notes, fmt.Sprintf(format, args...))
}

// replace gives columns of the rows to Gleaner's.
func (s *settling) replace() error {
	names, err := splitList("--replace", s.config.Replace)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.Contains(s.columns, name) {
			return fmt.Errorf("--replace %s: the rows have no column %q: there are %s", s.config.Replace, name, listed(s.columns))
		}
		usual := replaces(s.config, name)
		if _, twice := s.names.Ours[usual]; twice {
			return fmt.Errorf("--replace %s: only one column can take the answer", s.config.Replace)
		}
		s.names.Ours[usual] = name
		if !slices.Contains(s.names.Dropped, name) {
			s.names.Dropped = append(s.names.Dropped, name)
		}
	}
	return nil
}

// replaces returns which of Gleaner's columns takes a column of the rows: the one of its name, or
// else the answer's.
func replaces(c Config, name string) string {
	if slices.Contains(c.layoutColumns(), name) {
		return name
	}
	return answerColumn(c.Layout)
}

// fixed moves columns of the rows out of the way of names that belong to the layout's format.
func (s *settling) fixed() {
	var names []string
	switch s.config.Layout {
	case LayoutAlpaca:
		_, replaced := s.names.Ours[columnInstruction]
		if slices.Contains(s.columns, columnInstruction) && !replaced {
			s.names.OwnInstruction = true
			s.names.Dropped = append(s.names.Dropped, columnInstruction, columnInput)
			names = []string{columnOutput}
		} else {
			names = []string{columnInput, columnOutput}
		}
		if s.config.ResponseField != "" {
			names = slices.DeleteFunc(names, func(name string) bool { return name == columnOutput })
		}
	case LayoutOpenAIBatch:
		s.names.Dropped = append(s.names.Dropped, columnCustomID, "method", "url", "body") // the request
		for _, name := range s.names.Dropped {
			delete(s.taken, name)
		}
		names = layoutColumns(LayoutOpenAIBatch)
	}
	for _, name := range names {
		for _, column := range s.columns {
			if is, written := s.written(column); written && is == name {
				free := s.free(name)
				if s.names.Renamed == nil {
					s.names.Renamed = map[string]string{}
				}
				s.names.Renamed[column] = free
				s.taken[free] = true
				s.note("the rows have a column %q, a name that layout %s needs: theirs is written as %q", name, s.config.Layout, free)
			}
		}
		delete(s.taken, name)
	}
	if s.config.Layout == LayoutAlpaca {
		delete(s.taken, columnInstruction)
		delete(s.taken, columnInput)
	}
}

// own settles the layout's columns.
func (s *settling) own() error {
	answer := answerColumn(s.config.Layout)
	for _, usual := range s.config.layoutColumns() {
		name, replaced := s.names.Ours[usual]
		switch {
		case replaced:
		case usual == answer && s.config.ResponseField != "":
			if name = s.config.ResponseField; s.taken[name] {
				return fmt.Errorf("--response-field %s: the rows have a column %q already: choose another name, or write the answer in its stead with --replace %s, a flag of run and export", name, name, inShell(name))
			}
			s.names.Ours[usual] = name
		case s.taken[usual] && usual == columnTools:
			s.names.RowTools = true
			continue
		case s.taken[usual] && usual == s.config.Field && holdsRequest(usual):
			// The request was made of this column, so Gleaner's has everything that it has.
			s.names.Dropped = append(s.names.Dropped, usual)
			name = usual
		case s.taken[usual]:
			name = s.free(usual)
			s.names.Ours[usual] = name
			s.note("the rows have a column %q, which stays: Gleaner's is %q (--replace %s writes it in the rows' column%s)", usual, name, inShell(usual), s.found())
			if usual == answer && answer != columnMessages && answer != columnConversations {
				s.names.Notes[len(s.names.Notes)-1] += ", and --response-field NAME chooses another name"
			}
		default:
			name = usual
		}
		s.taken[name] = true
	}
	return nil
}

// found says for a layout that is made for trainers that they know one name only.
func (s *settling) found() string {
	if s.config.Layout == LayoutRows {
		return ""
	}
	return ", where trainers look for it"
}

// distracting notes columns of the rows that TRL takes for its own beside messages.
func (s *settling) distracting() {
	for _, name := range []string{columnPrompt, columnCompletion} {
		if s.config.Layout == LayoutChat && s.taken[name] {
			s.note("the rows have a column %q, from which TRL takes a prompt and not from %q: leave it out with --columns -%s if you train with that", name, s.names.of(columnMessages), name)
			return
		}
	}
}

// holdsRequest reports whether one of Gleaner's columns holds what was sent.
func holdsRequest(usual string) bool {
	return usual == columnMessages || usual == columnConversations || usual == columnPrompt
}

// expanded settles the columns of an answer's fields.
func (s *settling) expanded() {
	for _, name := range s.config.fields {
		is := name
		if s.taken[name] {
			is = s.free(name)
			s.note("there is a column %q already, which stays: the answer's field of this name is %q", name, is)
		}
		s.names.Ours[expandPrefix+name] = is
		s.taken[is] = true
	}
}

// expandPrefix tells the fields of an answer from Gleaner's own columns in Names.Ours.
const expandPrefix = "answer."

// provenance settles the provenance's column, or the beginning of its columns.
func (s *settling) provenance() {
	clash := func(name string) bool { return s.taken[name] }
	if s.config.Provenance == ProvenanceFlat {
		clash = func(name string) bool {
			return slices.ContainsFunc(flatColumns(), func(column string) bool { return s.taken[name+"_"+column] })
		}
	}
	name := columnProvenance
	for n := 2; clash(name); n++ {
		name = columnProvenance + "_" + strconv.Itoa(n)
	}
	if name != columnProvenance {
		s.names.Ours[columnProvenance] = name
		s.note("the rows have the provenance of an earlier run, which stays: this run's is %q", name)
	}
	if s.config.Provenance == ProvenanceNested {
		s.taken[name] = true
		return
	}
	for _, column := range flatColumns() {
		s.taken[name+"_"+column] = true
	}
}

// free returns the first of name_2, name_3, … that is not taken.
func (s *settling) free(name string) string {
	for n := 2; ; n++ {
		if next := name + "_" + strconv.Itoa(n); !s.taken[next] && !slices.Contains(s.columns, next) {
			return next
		}
	}
}

// flags says for each of Gleaner's columns which flag it has.
func (s *settling) flags() map[string]string {
	flags := map[string]string{columnProvenance: "--provenance none to leave it out"}
	for _, column := range layoutColumns(s.config.Layout) {
		flags[column] = "another --layout"
	}
	for _, name := range s.config.fields {
		flags[name] = "another schema, or leave out --expand"
	}
	if answer := answerColumn(s.config.Layout); s.config.Layout != LayoutChat && s.config.Layout != LayoutShareGPT {
		flags[answer] = "--response-field NAME to call it otherwise"
		if s.config.ResponseField != "" {
			flags[s.config.ResponseField] = flags[answer]
		}
	}
	return flags
}

// layoutColumns returns the usual names of a layout's columns, without the provenance.
func layoutColumns(layout string) []string {
	switch layout {
	case LayoutChat:
		return []string{columnMessages, columnTools, columnReference}
	case LayoutShareGPT:
		return []string{columnConversations, columnTools, columnReference}
	case LayoutAlpaca:
		return []string{columnInstruction, columnInput, columnOutput, columnSystem, columnHistory, columnReference}
	case LayoutPromptCompletion:
		return []string{columnPrompt, columnCompletion, columnTools, columnReference}
	case LayoutOpenAIBatch:
		return []string{columnID, columnCustomID, columnResponse, columnError}
	}
	return []string{columnResponse, columnReasoning, columnReference}
}

// layoutColumns returns those of the layout's columns that this export has.
func (c Config) layoutColumns() []string {
	return slices.DeleteFunc(layoutColumns(c.Layout), func(name string) bool {
		switch name {
		case columnReasoning:
			return c.Thought == nil || c.Reasoning != ReasoningColumn
		case columnSystem, columnHistory:
			return !c.Chats
		case columnTools, columnReference:
			return !c.FromChats
		}
		return false
	})
}

// answerColumn returns which of a layout's columns holds the answer.
func answerColumn(layout string) string {
	switch layout {
	case LayoutChat:
		return columnMessages
	case LayoutShareGPT:
		return columnConversations
	case LayoutAlpaca:
		return columnOutput
	case LayoutPromptCompletion:
		return columnCompletion
	}
	return columnResponse
}

// inShell returns a name as an entry of a list that a shell hands over as it is.
func inShell(name string) string {
	name = listEntry(name)
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.') {
			return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
		}
	}
	return name
}

// SettleRun is Settle for a run that is stored. Its columns were kept when it was loaded. For a run
// of an earlier version read returns its items first, first+1, …, at most count, and none after
// the last one.
func SettleRun(c Config, run pipeline.Run, read func(first, count int) ([]pipeline.Item, error)) (Names, error) {
	const chunk = 1000
	if kept := run.Spec.Dataset.Columns; len(kept) > 0 {
		return Settle(c, kept)
	}
	var columns Columns
	for first := 0; ; {
		items, err := read(first, chunk)
		if err != nil {
			return Names{}, err
		}
		for _, item := range items {
			if err := columns.Observe(item.Input); err != nil {
				return Names{}, fmt.Errorf("item %s: %w", item.ID(), err)
			}
		}
		if first += len(items); len(items) < chunk {
			return Settle(c, columns.Names())
		}
	}
}
