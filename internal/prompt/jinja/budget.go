package jinja

import "gleaner/internal/pipeline"

const (
	maxTurns    = 100_000                     // of all loops and macros of a template, for one row
	maxMade     = 10 * maxTurns               // elements of all lists that a template makes, for one row
	maxText     = 2 * pipeline.MaxPromptBytes // bytes of a text that a template makes
	maxWork     = 256 * maxText               // bytes that all operations on texts handle, for one row
	maxNodes    = 10_000_000                  // parts of expressions that are calculated and elements that are looked at, for one row
	maxDepth    = 100                         // of macros, loops and lists within each other
	maxTemplate = 1 << 20                     // bytes of a template
)

// A budget bounds what a template may do for one row. Everything that repeats, and everything that
// makes a text, takes from it, so that each template ends.
type budget struct {
	turns, made, work, nodes, depth int
}

// turn takes some turns of a loop.
func (b *budget) turn(n int) error {
	if b.turns += n; b.turns > maxTurns || b.turns < 0 {
		return problem("its loops turn more than %d times // loop over less, as in choices[:10]", maxTurns)
	}
	return nil
}

// make takes the elements of a list before it is made.
func (b *budget) make(n int) error {
	if n > maxTurns || n < 0 {
		return problem("a list has more than %d elements // make a shorter one, as in choices[:10]", maxTurns)
	}
	if b.made += n; b.made > maxMade {
		return problem("its lists have more than %d elements // make lists once, outside of loops", maxMade)
	}
	return nil
}

// look takes parts of expressions that are calculated, and elements that are looked at.
func (b *budget) look(n int) error {
	if b.nodes += n; b.nodes > maxNodes || b.nodes < 0 {
		return problem("it takes more than %d steps for one row // loop over less", maxNodes)
	}
	return nil
}

// handle takes the bytes of a text that is read or made.
func (b *budget) handle(bytes int) error {
	if b.work += bytes; b.work > maxWork || b.work < 0 {
		return problem("it handles more than %d bytes of text for one row // make texts once, outside of loops", maxWork)
	}
	return nil
}

// text takes the bytes of a text before it is made.
func (b *budget) text(bytes int) error {
	if bytes > maxText || bytes < 0 {
		return problem("a text has more than %d bytes // shorten it, as in text[:10000]", maxText)
	}
	return b.handle(bytes)
}

// enter takes one level of depth, which leave gives back.
func (b *budget) enter() error {
	if b.depth++; b.depth > maxDepth {
		return problem("macros, loops or values lie more than %d levels deep", maxDepth)
	}
	return nil
}

func (b *budget) leave() { b.depth-- }
