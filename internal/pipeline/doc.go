// Package pipeline holds the nouns of Gleaner: run, item, generation, batch, result, failure, and
// the ids, limits and rules of validity that go with them. It imports the standard library only
// and talks to nothing.
package pipeline
