package pipeline

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	keyBytes = 32 // as many as SHA-256 returns, more would not make it stronger

	// tokenBytes is what is kept of a MAC. Who guesses has to send a message for each try, and 2^128
	// of them are out of reach, while every message of a run carries a token.
	tokenBytes = 16
)

// A Key is the secret of a run, from which the tokens of its batches are made. Only the store keeps
// it, in the run's document: it shows as a word in texts and in JSON.
type Key []byte

// A Token proves that its batch was handed out in one round: a MAC by the run's key. The work
// message carries it, and results and dead letters bring it back.
type Token []byte

// NewKey returns a random key.
func NewKey() Key {
	key := make(Key, keyBytes)
	_, _ = rand.Read(key) // never fails
	return key
}

// Token returns the token of a batch in a round of the run with this uid. A run without a key,
// which was loaded before there were any, has no tokens: nil.
func (k Key) Token(uid string, batch, round int) Token {
	if len(k) == 0 {
		return nil
	}
	mac := hmac.New(sha256.New, k)
	message := binary.BigEndian.AppendUint64(nil, uint64(batch))
	message = binary.BigEndian.AppendUint64(message, uint64(round))
	_, _ = mac.Write(append(message, uid...)) // never fails
	return mac.Sum(nil)[:tokenBytes]
}

// Admits reports whether a message about a batch in a round, with this token, comes from a consumer
// that the batch was handed to. A run without a key admits every message.
func (k Key) Admits(token Token, uid string, batch, round int) bool {
	return len(k) == 0 || hmac.Equal(token, k.Token(uid, batch, round))
}

const hidden = "(hidden)"

// String hides the key.
func (k Key) String() string { return hidden }

// Format hides the key, whatever the verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// MarshalJSON hides the key.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
