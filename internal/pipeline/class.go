package pipeline

// A Class decides what happens after a failure. It is set once, where the failure happens.
type Class string

// The classes of failure. Rule returns what each of them means.
const (
	Interrupted   Class = "interrupted"
	Retryable     Class = "retryable"
	BadItem       Class = "bad-item"
	Truncated     Class = "truncated"
	Degenerate    Class = "degenerate"
	Malformed     Class = "malformed"
	Unanswered    Class = "unanswered"
	Poison        Class = "poison"
	Undeliverable Class = "undeliverable"
	TooLarge      Class = "too-large"
	Fatal         Class = "fatal"
)

// A Retry is how the GPU on which a generation failed tries it again.
type Retry int

// The ways to try again.
const (
	RetryNever    Retry = iota
	RetryBackoff        // after a pause, a few times
	RetryMoreRoom       // once, with twice the tokens
	RetryNewSeed        // once, with another seed
)

// A HandBack is how a batch goes back to the queue if a generation of it ended with a failure that
// is no outcome.
type HandBack int

// The ways to hand a batch back.
const (
	HandBackNot   HandBack = iota // the failure is an outcome, so the batch is not handed back
	HandBackNow                   // at once, since the failure says nothing about the batch
	HandBackLater                 // after a delay that grows with each delivery
	HandBackHold                  // after a delay, and this GPU takes no work until it is mended
)

// A Doubt is when the verdict of one GPU is not the last word on a generation, because another GPU
// may do better.
type Doubt int

// The doubts.
const (
	DoubtNone     Doubt = iota // any GPU says the same
	DoubtContext               // a GPU with a larger context may do better, if the generation exceeded this one's
	DoubtUnproven              // the GPU may be broken, until it has shown after the verdict that it works
	DoubtAlways                // any other GPU may do better
	DoubtRoom                  // the next round's message may have room for the generation, if others took it
)

// A ClassRule is what a class of failure means.
type ClassRule struct {
	Class    Class
	Means    string   // for people
	Brief    string   // the same about one failure, in two or three words
	Outcome  bool     // the failure is final for the generation in its round and goes into a dead letter
	Retry    Retry    // on the same GPU, before it is an outcome or the batch is handed back
	HandBack HandBack // if it is no outcome
	Doubt    Doubt    // about the verdict, if it is an outcome
	Help     string   // what a person can do about a dead letter of this class
	Hopeless bool     // another round fails as well unless a person does that, so the batch may be given up
}

// LetterClasses returns the names of the classes that a dead letter can have.
func LetterClasses() (names []string) {
	for _, rule := range Classes() {
		if rule.Outcome {
			names = append(names, string(rule.Class))
		}
	}
	return names
}

// Classes returns the rules of all classes. This is the one place that decides what a class means.
func Classes() []ClassRule {
	return []ClassRule{
		{Interrupted, "a shutdown or the notebook's deadline", "interrupted", false, RetryNever, HandBackNow, DoubtNone,
			"nothing: the batch goes to another consumer", false},
		{Retryable, "the model server is away, stalls or cut the answer off", "the server is away or stalls", false, RetryBackoff, HandBackLater, DoubtNone,
			"nothing: another GPU tries it", false},
		{BadItem, "the prompt does not fit into the context, or the template fails", "refused as it is", true, RetryNever, HandBackNot, DoubtContext,
			"it fails again as it is: give the servers a larger context", true},
		{Truncated, "the answer was cut off at its length, also with twice the room", "cut off", true, RetryMoreRoom, HandBackNot, DoubtUnproven,
			"give the answer more room", false},
		{Degenerate, "the answer is empty or repeats itself, also with another seed", "empty or repeated answer", true, RetryNewSeed, HandBackNot, DoubtUnproven,
			"try another seed, or a temperature", false},
		{Malformed, "the answer does not fit the schema, also with another seed", "does not fit the schema", true, RetryNewSeed, HandBackNot, DoubtUnproven,
			"loosen the schema or use a larger model in a new run, or try another seed", false},
		{Unanswered, "tried to its end while the model answers others", "no answer", true, RetryNever, HandBackNot, DoubtAlways,
			"read the last error: the server fails with this prompt and with no other", false},
		{Poison, "it crashes the model's runner, also while nothing else runs", "crashes the runner", true, RetryNever, HandBackNot, DoubtNone,
			"update the servers", true},
		{Undeliverable, "delivered too often without an outcome", "delivered too often", true, RetryNever, HandBackNot, DoubtNone,
			"look into the consumers' logs", false},
		{TooLarge, "its row, or its answer, is larger than a message that the NATS server accepts", "too large for NATS", true, RetryNever, HandBackNot, DoubtRoom,
			"raise max_payload of the NATS server, or shorten the rows or their answers", true},
		{Fatal, "nothing can be generated on this GPU until a person mends it", "to be mended", false, RetryNever, HandBackHold, DoubtNone,
			"mend what the consumer's log names", false},
	}
}

// Rule returns what a class means. A class that is not in the table comes from a newer version: it
// is no outcome, and the help for it is that of Undeliverable.
func (c Class) Rule() ClassRule {
	unknown := ClassRule{Class: c, Means: "a class that this version does not know", Brief: "unknown", Outcome: false}
	for _, r := range Classes() {
		if r.Class == c {
			return r
		}
		if r.Class == Undeliverable {
			unknown.Help = r.Help
		}
	}
	return unknown
}

// IsOutcome reports whether a failure of this class is final for a generation in its round.
func (c Class) IsOutcome() bool { return c.Rule().Outcome }
