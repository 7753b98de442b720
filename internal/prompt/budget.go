package prompt

import (
	"fmt"
	"sync"
	"text/template"
	"text/template/parse"

	"gleaner/internal/pipeline"
)

const (
	maxTurns = 100_000                     // of all loops of a template, for one row
	maxText  = 2 * pipeline.MaxPromptBytes // bytes of a text that a template makes
)

// A budget bounds what a template may do for one row: text/template has loops that write nothing
// and texts that double with each turn, and no way to end them from outside.
type budget struct {
	mu    sync.Mutex // one row at a time
	turns int
}

// funcs returns the functions of all templates, with those of text/template that make texts.
func (b *budget) funcs() template.FuncMap {
	return template.FuncMap{
		"json":    toJSON,
		turn:      b.turn,
		"print":   func(args ...any) (string, error) { return bounded(fmt.Sprint(args...)) },
		"println": func(args ...any) (string, error) { return bounded(fmt.Sprintln(args...)) },
		"printf":  func(format string, args ...any) (string, error) { return bounded(fmt.Sprintf(format, args...)) },
	}
}

func bounded(text string) (string, error) {
	if len(text) > maxText {
		return "", fmt.Errorf("the text has more than %d bytes", maxText)
	}
	return text, nil
}

// turn is the name of the function that each turn of a loop calls.
const turn = "gleaner_turn"

func (b *budget) turn() (string, error) {
	if b.turns++; b.turns > maxTurns {
		return "", fmt.Errorf("its loops turn more than %d times", maxTurns)
	}
	return "", nil
}

// count has each loop below these nodes call turn.
func count(list *parse.ListNode, call parse.Node) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.RangeNode:
			count(n.List, call)
			count(n.ElseList, call)
			n.List.Nodes = append([]parse.Node{call}, n.List.Nodes...)
		case *parse.IfNode:
			count(n.List, call)
			count(n.ElseList, call)
		case *parse.WithNode:
			count(n.List, call)
			count(n.ElseList, call)
		}
	}
}

// withBudget has all loops of a template counted.
func (b *budget) withBudget(t *template.Template) (*template.Template, error) {
	call, err := template.New("").Funcs(b.funcs()).Parse("{{" + turn + "}}")
	if err != nil {
		return nil, err
	}
	for _, each := range t.Templates() {
		if each.Tree != nil {
			count(each.Root, call.Root.Nodes[0])
		}
	}
	return t, nil
}
