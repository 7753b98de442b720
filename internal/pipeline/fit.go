package pipeline

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A SizeError says that a message is larger than the NATS server takes.
type SizeError struct {
	Bytes, Limit int   // of the message as it travels, and of the server
	Indexes      []int // of results: the generations whose answers are too large, each alone in a message
}

// Error says which limit it is, and what changes it.
func (e *SizeError) Error() string {
	return fmt.Sprintf("the message has %s bytes and the NATS server accepts %s in one (max_payload): raise its max_payload", Grouped(e.Bytes), Grouped(e.Limit))
}

// Grouped writes a number with a comma after each three digits.
func Grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Sender names the producer as the judge of what cannot be sent.
const Sender = "producer"

// Fit returns the message of a batch that is too large for one: with as many of its generations as
// have room, and a verdict on each other one. Size returns the bytes of a message as it travels.
// If it returns no generations, not one of them has room in any message.
func Fit(w Work, limit int, size func(Work) (int, error)) (Work, error) {
	fits := w
	fits.Generations, fits.Final = nil, slices.Clone(w.Final)
	alone := fits.Final // with which each generation is measured
	var able []Generation
	for _, g := range w.Generations {
		message := w
		message.Generations, message.Final = []Generation{g}, alone
		bytes, err := size(message)
		if err != nil {
			return Work{}, err
		}
		if bytes <= limit {
			able = append(able, g)
			continue
		}
		fits.Final = append(fits.Final, tooLarge(g, bytes, limit))
	}
	for n := len(able); n > 0; n-- {
		message := fits
		message.Generations, message.Final = able[:n], slices.Clone(fits.Final)
		for _, g := range able[n:] {
			message.Final = append(message.Final, crowded(g, limit))
		}
		bytes, err := size(message)
		if err != nil || bytes <= limit {
			return message, err
		}
		if n == 1 { // the verdicts take what is left
			for _, g := range able {
				fits.Final = append(fits.Final, tooLarge(g, bytes, limit))
			}
		}
	}
	return fits, nil
}

func tooLarge(g Generation, bytes, limit int) GenerationFailure {
	return unsent(g, fmt.Sprintf("the row is too large for the NATS server: alone it makes a message of %s bytes, and the server accepts %s in one (max_payload). "+
		"Raise max_payload in the server's configuration, or shorten the row", Grouped(bytes), Grouped(limit)))
}

func crowded(g Generation, limit int) GenerationFailure {
	f := unsent(g, fmt.Sprintf("the batch is too large for one message of the NATS server, which accepts %s bytes (max_payload), so this row waits for the batch's next round. "+
		"Raise max_payload in the server's configuration, or load the run with smaller batches (--batch)", Grouped(limit)))
	f.Crowded = true
	return f
}

// unsent returns the verdict on a generation that no message has room for, so without its prompt.
func unsent(g Generation, message string) GenerationFailure {
	g.Messages, g.Tools = nil, ""
	return GenerationFailure{Generation: g, Class: TooLarge, Message: message, Judge: LaneID{Consumer: Sender}}
}

// Unsent returns the dead letter about those generations of a message from Fit that are too large
// for any message, and whether there is one that another round of the batch has not had. It goes
// out before the message: the worker's letter replaces it, and brings its verdicts back. Where no
// generation is left to be sent the letter is about all that the batch lacks.
func (w Work) Unsent(before Work, now time.Time) (d DeadLetter, found bool) {
	known := len(before.Final)
	d = DeadLetter{
		Run: w.Run, UID: w.UID, Batch: w.Batch, Round: w.Round, Token: w.Token, Consumer: Sender, Judged: w.Judged,
		Model: w.Model, Options: w.Options, FailedAt: now.UTC().Truncate(time.Millisecond),
	}
	for i, f := range w.Final {
		if len(w.Generations) == 0 || i >= known && !f.Crowded {
			d.Failures = append(d.Failures, f)
		}
	}
	if len(d.Failures) == 0 {
		return DeadLetter{}, false
	}
	last := d.Failures[len(d.Failures)-1] // a verdict of now, where others came along
	d.Class, d.Message = last.Class, last.Message
	return d, true
}
