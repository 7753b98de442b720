// Package failures sorts why generations have no answer into few groups, one for each class and
// cause, and knows what helps each of them. What it holds does not grow with the failures.
package failures

import (
	"cmp"
	"slices"
	"strconv"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// A Group is the failures of one class and cause.
type Group struct {
	Class       pipeline.Class `json:"class"`
	Cause       string         `json:"cause"`       // the message without what differs from failure to failure, or Others
	Generations int            `json:"generations"` // that failed so
	Batches     int            `json:"batches"`     // with such a generation
	Example     Example        `json:"example"`     // the first that came
	Cure        Cure           `json:"cure"`
}

// An Example is one failure of a group.
type Example struct {
	Run        string `json:"run"`
	Batch      int    `json:"batch"`
	Generation string `json:"generation"`    // its id
	Row        string `json:"row,omitempty"` // the id by which the user knows its row, where that was looked up
	Message    string `json:"message"`

	Item int `json:"-"` // its row's number
}

// Others is the cause of a group in which are all those of a class for whose causes there was no
// room any more.
const Others = "other causes"

// Bounds of what Groups hold.
const (
	mostGroups  = 50
	mostMessage = 500 // bytes of an example's message
)

// Groups are made from dead letters, one after the other. The zero value has none.
type Groups struct {
	byKey map[key]*held
}

// A key tells groups apart. What helps failures with one message may differ.
type key struct {
	run              string
	class            pipeline.Class
	cause            string
	exceeds, endless bool
}

// A held group knows what its cure depends on.
type held struct {
	Group
	about about
	last  string // batch that was counted last
}

// Add adds the failures of a letter that are of one of these classes; none: all.
func (g *Groups) Add(letter pipeline.DeadLetter, classes ...pipeline.Class) {
	for _, f := range letter.Failures {
		if len(classes) == 0 || slices.Contains(classes, f.Class) {
			g.add(letter, f)
		}
	}
}

func (g *Groups) add(letter pipeline.DeadLetter, f pipeline.GenerationFailure) {
	if g.byKey == nil {
		g.byKey = map[key]*held{}
	}
	k := key{letter.Run, f.Class, Cause(f.Message), f.Exceeds, f.Endless}
	group := g.byKey[k]
	if group == nil && len(g.byKey) >= mostGroups {
		if !f.Class.IsOutcome() { // a class of a newer version: of these there could be any number
			k.class = pipeline.Undeliverable
		}
		k = key{run: k.run, class: k.class, cause: Others}
		group = g.byKey[k]
	}
	if group == nil {
		group = &held{Group: Group{Class: k.class, Cause: k.cause, Example: Example{
			Run: letter.Run, Batch: letter.Batch, Item: f.Item,
			Generation: pipeline.GenerationID(letter.Run, f.Item, f.Sample), Message: text.Shorten(What(f.Message), mostMessage),
		}}}
		g.byKey[k] = group
	}
	group.Generations++
	if id := letter.ID(); id != group.last {
		group.last = id
		group.Batches++
	}
	group.about.add(letter, f)
}

// List returns the groups, the largest first.
func (g *Groups) List() []Group {
	var all []Group
	for k, group := range g.byKey {
		flags := []string{"--run", k.run}
		if k.class.IsOutcome() { // else no command knows it
			flags = append(flags, "--class", string(k.class))
		}
		group.Cure = group.about.cure(k.class, flags)
		all = append(all, group.Group)
	}
	slices.SortFunc(all, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Generations, a.Generations), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Example.Run, b.Example.Run))
	})
	return all
}

// A Cure says what a person can do about failures, in words and commands.
type Cure struct {
	Help    string `json:"help"`              // what to do
	Redrive string `json:"redrive,omitempty"` // the command that then gives them another round
	Drop    string `json:"drop,omitempty"`    // the command that gives them up, where that is an answer
	Then    string `json:"-"`                 // what stands between the help and the redrive in a sentence
}

// Sentence says it in one line.
func (c Cure) Sentence() string {
	s := c.Help + c.Then + c.Redrive
	if c.Drop != "" {
		s += ", or give it up: " + c.Drop
	}
	return s
}

// OfLetter returns what helps all that is in a letter. A command takes these flags, which choose
// the letter.
func OfLetter(letter pipeline.DeadLetter, flags ...string) Cure {
	var a about
	for _, f := range letter.Failures {
		a.add(letter, f)
	}
	if len(letter.Failures) == 0 {
		a.numPredict = letter.Options.NumPredict
	}
	return a.cure(letter.Class, flags)
}

// An about is what the cure of some failures depends on, besides their class.
type about struct {
	failures   int
	endless    int // of them: their answers did not end
	needs      int // tokens of context that all of those need that did not fit; 0: all fit, as far as is known
	numPredict int // the most that was asked for
	seeds      map[int]bool
}

const mostSeeds = 5 // that are remembered: those of redrives by hand are few

func (a *about) add(letter pipeline.DeadLetter, f pipeline.GenerationFailure) {
	a.failures++
	if f.Endless {
		a.endless++
	}
	if f.Exceeds {
		a.needs = max(a.needs, f.Needs)
	}
	a.numPredict = max(a.numPredict, letter.Options.NumPredict)
	if a.seeds == nil {
		a.seeds = map[int]bool{}
	}
	for seed := firstSeed; seed < firstSeed+mostSeeds; seed++ {
		if f.Seed == pipeline.Seed(seed, pipeline.GenerationID(letter.Run, f.Item, f.Sample)) {
			a.seeds[seed] = true
		}
	}
}

// firstSeed is the seed that is proposed first.
const firstSeed = 2

// seed returns a seed that was not tried yet.
func (a *about) seed() string {
	seed := firstSeed
	for a.seeds[seed] {
		seed++
	}
	return strconv.Itoa(seed)
}

// cure is the table of what helps: by the class, and by what the failures say of themselves. The
// words of a class are those of its rule.
func (a *about) cure(class pipeline.Class, flags []string) Cure {
	command := func(verb string, more ...string) string {
		return advice.Command("dead "+verb, slices.Concat(flags, more)...)
	}
	rule := class.Rule()
	if !rule.Outcome { // no consumer writes such a letter
		rule = pipeline.Undeliverable.Rule()
	}
	switch {
	case a.needs > 0:
		help := "give the servers a context of " + strconv.Itoa(a.needs) + " tokens or more (--num-ctx, OLLAMA_CONTEXT_LENGTH)"
		return Cure{help, command("redrive"), command("drop", "--yes"), " and then "}
	case rule.Hopeless:
		return Cure{rule.Help, command("redrive"), command("drop", "--yes"), " and then "}
	case rule.Retry == pipeline.RetryMoreRoom && a.failures > 0 && a.endless == a.failures:
		return Cure{"the answer does not end, so more room is of no use; try another seed", command("redrive", "--seed", a.seed()), command("drop", "--yes"), ": "}
	case rule.Retry == pipeline.RetryMoreRoom:
		return Cure{rule.Help, command("redrive", "--num-predict", strconv.Itoa(MoreRoom(a.numPredict))), "", ": "}
	case rule.Retry == pipeline.RetryNewSeed:
		return Cure{rule.Help, command("redrive", "--seed", a.seed()), "", ": "}
	}
	return Cure{rule.Help, command("redrive"), "", ", then "}
}

// MoreRoom returns how many tokens are worth another round for answers that were cut off with this
// many: twice what they had at last, since a consumer tries twice the number by itself.
func MoreRoom(numPredict int) int { return min(4*max(numPredict, 1), pipeline.MaxNumPredict) }
