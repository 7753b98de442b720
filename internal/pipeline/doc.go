// Package pipeline holds the nouns of Gleaner: run, item, generation, batch, result, failure, dead
// letter and presence, with their ids, limits and rules of validity. It imports the standard
// library only, and does no input or output.
package pipeline
