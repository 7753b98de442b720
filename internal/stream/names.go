package stream

import (
	"fmt"
	"regexp"
	"strings"
)

// Names on the server.
const (
	WorkStream    = "GLEANER_WORK"
	ResultsStream = "GLEANER_RESULTS"
	DeadStream    = "GLEANER_DEAD"
	Bucket        = "gleaner_consumers" // the presence of the consumers, a key-value bucket

	sinkDurable   = "sink"
	mirrorDurable = "mirror"
	bucketStream  = "KV_" + Bucket
)

func workSubject(run string, batch int) string {
	return fmt.Sprintf("gleaner.work.%s.%07d", run, batch)
}
func workSubjects(run string) string   { return "gleaner.work." + run + ".>" }
func resultSubjects(run string) string { return "gleaner.result." + run + ".>" }
func deadSubjects(run string) string   { return "gleaner.dead." + run + ".>" }
func helloSubject(run string) string   { return "gleaner.hello." + run }
func presenceSubject(id string) string { return "$KV." + Bucket + "." + id }

func resultSubject(run string, batch, chunk int) string {
	return fmt.Sprintf("gleaner.result.%s.%07d.%d", run, batch, chunk)
}

func resultsOfBatch(run string, batch int) string {
	return fmt.Sprintf("gleaner.result.%s.%07d.>", run, batch)
}

func deadSubject(run string, batch int) string {
	return fmt.Sprintf("gleaner.dead.%s.%07d", run, batch)
}

// runOf returns the run of a message's subject, or NAME if the subject has none.
func runOf(subject string) string {
	if parts := strings.Split(subject, "."); len(parts) > 2 {
		return parts[2]
	}
	return "NAME"
}

// ofBatch reports whether a message on this subject may speak for the batch, so that a permission
// for some subjects covers their batches only.
func ofBatch(subject, kind, run string, batch int) bool {
	rest, ok := strings.CutPrefix(subject, fmt.Sprintf("gleaner.%s.%s.%07d", kind, run, batch))
	return ok && (rest == "" || kind == "result" && rest[0] == '.')
}

func inboxPrefix(user string) string { return "_INBOX_" + user }

// isToken reports whether a name can be one token of a subject.
func isToken(s string) bool { return regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(s) }

// ConsumerPermissions returns the subjects that a consumer's user needs, and no others, for a
// user with this inbox name (Config.User). It may not ack anything but work: with more it could
// forge the sink's ack and delete a result that is not stored. It has its own inbox: in a common
// one it would overhear and swallow the others' messages.
func ConsumerPermissions(user string) (publish, subscribe []string) {
	return []string{
		"$JS.API.CONSUMER.LIST." + WorkStream,
		"$JS.API.CONSUMER.INFO." + WorkStream + ".*",
		"$JS.API.CONSUMER.MSG.NEXT." + WorkStream + ".*",
		"$JS.ACK." + WorkStream + ".>",
		"$JS.ACK.*.*." + WorkStream + ".>", // the same on servers that add domain and account
		"gleaner.result.>",
		"gleaner.dead.*.*", // to publish; it cannot read, replace by sequence or delete any
		"$KV." + Bucket + ".*",
	}, []string{inboxPrefix(user) + ".>", helloSubject("*")}
}
