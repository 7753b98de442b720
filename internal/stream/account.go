package stream

import (
	"fmt"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	defaultBytes = 4 << 30 // of all streams together, where the account allows it
)

// LeastBytes is the least for all streams together: with less, a stream could not hold one large
// batch and its answers.
const LeastBytes int64 = 16 << 20

// An account is what a NATS account allows. Limits that are not positive do not exist.
type account struct {
	maxStore  int64 // bytes of all its streams together
	maxStream int64 // bytes of one stream
	streams   int   // how many streams it may have
	consumers int   // how many durables one stream may have
	replicas  int   // of our streams
	copies    int   // how often maxStore counts a byte of our streams

	reserved int64 // bytes reserved by its streams, ours excluded
	ours     int64 // bytes reserved by our streams
}

// accountOf finds the limits that apply: hosted accounts have them by number of replicas.
func accountOf(info *jetstream.AccountInfo, replicas int, ours int64) account {
	copies := 1 // a tier counts a stream once
	tier, ok := info.Tiers[fmt.Sprintf("R%d", replicas)]
	if !ok {
		tier, copies = info.Tier, replicas
	}
	ours *= int64(copies)
	return account{
		maxStore: tier.Limits.MaxStore, maxStream: tier.Limits.StoreMaxStreamBytes,
		streams: tier.Limits.MaxStreams, consumers: tier.Limits.MaxConsumers, replicas: replicas, copies: copies,
		reserved: max(0, int64(tier.ReservedStore)-ours), ours: ours,
	}
}

// streamSizes divides what the streams may hold together. Results are the largest, and pile up
// while no sink runs.
func streamSizes(maxBytes int64, a account) (map[string]int64, error) {
	total := maxBytes
	if total == 0 {
		total = defaultBytes
		if a.maxStore > 0 {
			total = min(total, (a.maxStore-a.reserved)/int64(max(1, a.copies)))
		}
	}
	if total < LeastBytes {
		if maxBytes > 0 {
			return nil, pipeline.Fail(pipeline.Fatal, "the streams may hold %s together (--max-bytes), they need at least %s", sizeText(maxBytes), sizeText(LeastBytes))
		}
		return nil, pipeline.Fail(pipeline.Fatal, "the NATS account allows %s of storage and other streams reserve %s of it: Gleaner needs at least %s, delete a stream or use another account",
			sizeText(a.maxStore), sizeText(a.reserved), sizeText(LeastBytes))
	}
	if free := a.maxStore - a.reserved; maxBytes > 0 && a.maxStore > 0 && maxBytes*int64(max(1, a.copies)) > free {
		return nil, pipeline.Fail(pipeline.Fatal, "the streams are to hold %s together (--max-bytes)%s; the NATS account allows %s, of which other streams reserve %s: choose less, delete a stream that is not needed, or use a larger account",
			sizeText(maxBytes), a.perReplica(), sizeText(a.maxStore), sizeText(a.reserved))
	}
	presence := min(total/64, pipeline.PresenceBytes)
	quarter := (total - presence) / 4
	sizes := map[string]int64{WorkStream: quarter, ResultsStream: 2 * quarter, DeadStream: quarter, bucketStream: presence}
	if a.maxStream > 0 && maxBytes == 0 {
		for name := range sizes {
			sizes[name] = min(sizes[name], a.maxStream)
		}
	}
	return sizes, nil
}

// explainRefusal says what an account refused in its own numbers, and what to change.
func explainRefusal(err error, bytes int64, a account) error {
	hint := ""
	switch code(err) {
	case codeStorage:
		hint = fmt.Sprintf("it reserves %s%s; %s: choose smaller streams (--max-bytes), delete a stream that is not needed, or use a larger account",
			sizeText(bytes), a.perReplica(), a.storage())
	case codeResources, codeAccountResources:
		hint = fmt.Sprintf("%s: make room there, or choose smaller streams (--max-bytes)", a.storage())
	case codeStreamBytes:
		hint = fmt.Sprintf("the account allows %s in one stream and this one wants %s: use an account that allows more", sizeText(a.maxStream), sizeText(bytes))
	case codeStreams:
		hint = fmt.Sprintf("the account allows %d streams and Gleaner needs 4 of its own: delete one that is not needed, or use a larger account", a.streams)
	case codeConsumers:
		hint = fmt.Sprintf("the account allows %d JetStream consumers on one stream and each run needs one: delete finished runs (%s), or use a larger account",
			a.consumers, advice.Command("delete", "--run", "NAME"))
	case codeNoTier:
		hint = fmt.Sprintf("the account has no storage with %d replicas: use fewer (1 always works where there is any)", a.replicas)
	case codeNeedsMaxBytes:
		hint = "the account wants a size for each stream (MaxBytes), and this one has none"
	case codeMemory:
		hint = "the account has no storage in memory left: Gleaner uses files, use another account"
	default:
		return err
	}
	return pipeline.Fail(pipeline.Fatal, "%w: %s", err, hint)
}

// perReplica says how often a byte is counted, if more than once.
func (a account) perReplica() string {
	if a.copies > 1 {
		return fmt.Sprintf(" for each of %d replicas", a.copies)
	}
	return ""
}

func (a account) storage() string {
	if a.maxStore > 0 {
		return fmt.Sprintf("the account allows %s, of which other streams reserve %s and Gleaner's %s", sizeText(a.maxStore), sizeText(a.reserved), sizeText(a.ours))
	}
	return "the account has no limit of its own, so the server's disk or its limit is used up"
}

// sizeText returns bytes as a person reads them.
func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
