package view

import (
	"cmp"
	"fmt"
	"strings"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/text"
)

// Pinned shows what pinning a run changed, and what becomes of the answers that are stored.
func Pinned(r producer.PinReport) string {
	var b strings.Builder
	switch r.Before {
	case r.Now:
		fmt.Fprintf(&b, "run %s is pinned to %s, as it was before\n", r.Run, pinned(r.Now))
	case "":
		fmt.Fprintf(&b, "run %s is pinned to %s; before it was not pinned\n", r.Run, pinned(r.Now))
	default:
		fmt.Fprintf(&b, "run %s is pinned to %s; before it was pinned to %s\n", r.Run, pinned(r.Now), pinned(r.Before))
	}
	b.WriteString(stored(r.Stored))
	if others := r.Others(); others > 0 {
		fmt.Fprintf(&b, "%s of another digest or without one: what is stored stays, and gleaner.digest in each line of the export says which is which. "+
			"For answers of one digest alone, load the rows under another name.\n", Plural(others, "answer is", "answers are"))
	}
	if r.Untold != "" {
		fmt.Fprintf(&b, "NATS could not be asked (%s), so the consumers are told by the process that follows the run: `%s`\n",
			text.OneLine(r.Untold), advice.Command("publish", "--run", r.Run, "--follow"))
	}
	return b.String()
}

// pinned shows what a run is pinned to.
func pinned(digest string) string {
	if digest == pipeline.PinAny {
		return "any digest"
	}
	return text.OneLine(digest)
}

// stored says of which digests the stored answers are.
func stored(counts []pipeline.DigestCount) string {
	if len(counts) == 0 {
		return "no answer is stored yet\n"
	}
	var b strings.Builder
	for _, c := range counts {
		fmt.Fprintf(&b, "%s stored of %s\n", Plural(c.Answers, "answer is", "answers are"), digest(c))
	}
	return b.String()
}

func digest(c pipeline.DigestCount) string {
	if c.Digest == "" {
		return "no known digest, from consumers of an earlier version"
	}
	return fmt.Sprintf("%s on %s", text.OneLine(c.Digest), text.OneLine(cmp.Or(string(c.Engine), "an engine that is not known")))
}

// Digests says of which digests the stored answers of a run are, and warns if one engine has
// several.
func Digests(run pipeline.Run, counts []pipeline.DigestCount) string {
	if len(counts) == 0 {
		return ""
	}
	warning := ""
	of := map[pipeline.EngineName]int{}
	for _, c := range counts {
		if of[c.Engine]++; of[c.Engine] > 1 && c.Digest != "" {
			warning = fmt.Sprintf("the answers of run %s are of several digests, so they are not of one model: gleaner.digest in each line of the export says which is which\n", run.Name)
		}
	}
	return stored(counts) + warning
}
