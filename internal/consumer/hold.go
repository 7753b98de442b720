package consumer

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// errSetAside is why a batch goes to another GPU at once: this one must not work on it, or what it
// made of it must not be kept. That says nothing about the batch.
var errSetAside = errors.New("the batch goes to another GPU")

// A holdKind is a reason for which a GPU must not work although its server may be fine. The
// part that found the reason also finds out when it is over.
type holdKind int

const (
	holdModel   holdKind = iota // the server has another model than the run is made with
	holdPrompts                 // the server cuts prompts
	holdKinds
)

// Hold admits nothing until Release, and says why. Batches in hand are set aside.
func (b *breaker) Hold(kind holdKind, why string) {
	why = text.Shorten(why, maxDetailBytes)
	b.mu.Lock()
	changed := b.holds[kind] != why
	b.leave()
	b.holds[kind] = why
	b.notify()
	b.mu.Unlock()
	if changed {
		b.log.Error("this GPU takes no work until that is mended", zap.String("because", why))
		b.changedWork()
	}
}

// Release ends a Hold.
func (b *breaker) Release(kind holdKind) {
	b.mu.Lock()
	changed := b.holds[kind] != ""
	b.holds[kind] = ""
	b.notify()
	b.mu.Unlock()
	if changed {
		b.log.Info("this GPU is mended and takes work again")
		b.changedWork()
	}
}

// Held reports whether a Hold of this kind is in force.
func (b *breaker) Held(kind holdKind) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holds[kind] != ""
}

// held returns why the GPU must not work, or nothing. The caller holds mu.
func (b *breaker) held() string {
	for _, why := range b.holds {
		if why != "" {
			return why
		}
	}
	return ""
}

const (
	doubtLeast = time.Minute
	doubtMost  = 15 * time.Minute

	// Who serves the run is known a little late: presence, the process that follows the run and this
	// one look every 15 s each.
	aloneAfter   = 45 * time.Second // without another GPU: then a broken one is better than none
	aloneCertain = 5 * time.Minute  // before that there are pauses between the batches
	alonePause   = time.Second      // the first of them, doubled each time
	aloneMost    = 30 * time.Second
)

// A doubt is that a GPU may be broken, because it gave verdicts in a row and no answer. What
// follows depends on the other GPUs, so that the doubt delays work, and never leaves a queue
// without a taker:
//
//   - While another one serves the run, the GPU says a word, the canary, after a minute, then after
//     two, four, up to fifteen. If that is a good one, it takes one batch.
//   - While none does, it takes one batch after the other, each after a word. Also where the word
//     is no good, if that stays so for a while: no one else takes it. Until that is certain there
//     are pauses between such batches.
//
// An answer that began after that, and is stored, ends the doubt.
type doubt struct {
	is    bool
	why   string
	since time.Time
	pause time.Duration // before the last probe, while others serve
	word  time.Time     // when the next word is due while none does; zero: as soon as that is sure enough
	rest  time.Duration // before that word, if the last one was no good
}

// note takes in whether no other GPU is known, in doubt or not: a GPU that has been alone need not
// find that out again. The caller holds mu.
func (b *breaker) note(alone bool) {
	switch {
	case !alone:
		b.alone, b.doubt.word, b.doubt.rest = time.Time{}, time.Time{}, alonePause
	case b.alone.IsZero():
		b.alone = time.Now()
	}
}

// worthless takes in a word that was no good, and reports whether the GPU takes a batch all the
// same. The caller holds mu.
func (b *breaker) worthless() bool {
	d := &b.doubt
	switch {
	case b.alone.IsZero():
		return d.pause >= doubtMost
	case time.Since(b.alone) < aloneAfter: // the word was asked before
		return false
	case time.Since(b.alone) < aloneCertain:
		d.word = time.Now().Add(d.rest)
		d.rest = min(2*d.rest, aloneMost)
	}
	return true
}

// postpone sets the time of the next probe after one that has shown nothing. The caller holds mu.
func (b *breaker) postpone() {
	if b.doubt.is && b.alone.IsZero() {
		b.doubt.pause = min(2*b.doubt.pause, doubtMost)
		b.retryAt = time.Now().Add(b.doubt.pause)
	}
}

// Doubt opens the breaker because the GPU only gives verdicts. The probe's word is asked with the
// options of the request.
func (b *breaker) Doubt(verdicts int, last error, request pipeline.Request) {
	why := fmt.Sprintf("its last %d answers all failed (%s)", verdicts, pipeline.Brief(last))
	b.mu.Lock()
	if b.suspended || b.doubt.is {
		b.mu.Unlock()
		return
	}
	now := time.Now()
	b.open(now.Add(doubtLeast))
	b.failed, b.doubt = &request, doubt{is: true, why: why, since: now, pause: doubtLeast, rest: alonePause}
	b.show()
	b.notify()
	b.mu.Unlock()
	b.log.Error("this GPU may be broken: it takes one batch at a time, and only where no other GPU serves the run, until it gives an answer",
		zap.String("because", why), zap.NamedError("last", last))
	b.changedWork()
}

// changedWork says that the GPU takes work now where it took none, or the other way around, for a
// reason about which others have to know.
func (b *breaker) changedWork() {
	if b.onChange != nil {
		b.onChange()
	}
}

// Blocked reports whether the GPU takes no work, or little, for a reason that may end elsewhere.
func (b *breaker) Blocked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doubt.is || b.held() != ""
}

// doubted reports whether the GPU may be broken.
func (b *breaker) doubted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doubt.is
}

// EndDoubt closes a breaker that was open because of a doubt: an answer is stored that began after
// all the GPU's verdicts in a row, or the GPU has another server.
func (b *breaker) EndDoubt() {
	if b.doubted() {
		b.Reset()
	}
}

// othersServe reports whether another GPU is known that serves the run.
func (b *breaker) othersServe() bool { return b.others != nil && b.others() }

// Wake has those who wait look again at what does not change within the breaker.
func (b *breaker) Wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notify()
}

// due returns the time until the next probe. The caller holds mu.
func (b *breaker) due(alone bool) time.Duration {
	if b.doubt.is && alone {
		return max(time.Until(b.doubt.word), time.Until(b.alone.Add(aloneAfter)))
	}
	return time.Until(b.retryAt)
}

// isNoAnswer reports whether the server gave an answer that is worth nothing.
func isNoAnswer(err error) bool { return err != nil && answered(err) }

// Stopped returns why a batch in hand is not gone on with, or nil. A probe goes on.
func (t *ticket) Stopped() error {
	b := t.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	switch why := b.held(); {
	case why != "":
		return fmt.Errorf("%w: %s", errSetAside, why)
	case b.doubt.is && !t.probe:
		return fmt.Errorf("%w: %s", errSetAside, b.doubt.why)
	}
	return nil
}
