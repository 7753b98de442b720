package view

import (
	"io"
	"regexp"
	"strings"

	"gleaner/internal/cli"
	"gleaner/internal/doctor"
	"gleaner/internal/pipeline"
	"gleaner/internal/status"
)

// Print writes what a function of this package has made to Out or Err of a terminal, with colours
// where there are any: on the states of runs, on the classes of failures, and on what doctor found.
func Print(to io.Writer, s string) error { return cli.Paint(to, s, painted()...) }

// painted returns which words have which colour, by where they stand in a line.
func painted() []cli.Painted {
	state := func(colour cli.Colour, words ...string) cli.Painted {
		is := "(" + strings.Join(words, "|") + ")"
		return cli.Painted{Colour: colour, At: regexp.MustCompile(`(?m)^(?:run +\S+ \(|[a-z0-9-]+  +| {4}(?:.*, )?state )` + is + `(?:[,)]|  |$)`)}
	}
	found := func(colour cli.Colour, is doctor.Condition) cli.Painted {
		return cli.Painted{Colour: colour, At: regexp.MustCompile(`(?m)^\S(?:\S| \S)*  +(` + string(is) + `)  `)}
	}
	return []cli.Painted{
		state(cli.Green, string(status.Running), string(status.Complete)),
		state(cli.Yellow, string(status.Complete)+` with \d+ failed`, string(status.Paused), string(status.WaitingConsumer), string(status.WaitingSink), string(status.WaitingRoom), string(status.WaitingStore)),
		state(cli.Red, string(status.Cancelled), string(status.Deleting)),
		found(cli.Green, doctor.OK), found(cli.Yellow, doctor.Warning), found(cli.Red, doctor.Wrong),
		{Colour: cli.Red, At: regexp.MustCompile(`(?m)^\d[\d,]* (` + strings.Join(pipeline.LetterClasses(), "|") + `):`)},
	}
}
