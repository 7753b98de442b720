package pipeline

import (
	"fmt"
	"regexp"
	"strings"
)

// PinAny in place of a digest holds no GPU.
const PinAny = "any"

// EngineUnsaid stands for answers that do not say of which digest they are: those of consumers of
// earlier versions. Only a pin that a person set holds them, see PinEngines.
const EngineUnsaid EngineName = "unsaid"

// PinEngines returns the engines that a person's pin holds: that of the digest, and answers that
// do not say of which one they are.
func PinEngines() []EngineName { return []EngineName{Ollama, EngineUnsaid} }

// engineName is what the name of an engine may be: stores use it as the name of a field.
var engineName = regexp.MustCompile(`^[a-z0-9-]{0,32}$`)

// digestDigits is how long a digest is, and shortDigits how much of it people are shown.
const (
	digestDigits = 64
	shortDigits  = 12
)

// ParsePin reads what a person says of a digest: PinAny, or all of its 64 hexadecimal digits, with
// or without "sha256:" before them.
func ParsePin(text string) (string, error) {
	if text == PinAny {
		return PinAny, nil
	}
	digest := strings.ToLower(strings.TrimPrefix(text, "sha256:"))
	if digest == "" || strings.Trim(digest, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%q is no digest: it has %d hexadecimal digits; or say %s", text, digestDigits, PinAny)
	}
	if len(digest) != digestDigits {
		return "", fmt.Errorf("%q has %d digits, and a part of a digest may be that of several models: give all %d, as the server's /api/tags and the status of a run show them; or say %s",
			text, len(digest), digestDigits, PinAny)
	}
	return digest, nil
}

// OrPin returns the end of an advice for who has another digest than the run's: that a person may
// pin the run to that one with the command that does so, or nothing if the command would not take
// it.
func OrPin(command string, engine EngineName, digest string) string {
	if pin, err := ParsePin(digest); err != nil || pin != digest || engine != Ollama {
		return ""
	}
	return fmt.Sprintf(", or have the run made by this one with `%s`", command)
}

// ShortDigest returns as much of a digest as people are shown, who know it so from `ollama list`.
func ShortDigest(digest string) string {
	if len(digest) != digestDigits { // the name of a model, where the server has no digests
		return digest
	}
	return digest[:shortDigits]
}

// Pin returns the digest of which an answer has to be: empty if the run is not pinned for its
// engine yet, PinAny if it may be of any. It is not pinned by an answer without a digest.
func (r Run) Pin(engine EngineName, digest string) string {
	if digest == "" {
		engine = EngineUnsaid
	}
	return r.Pins[engine]
}

// PinTo returns a run that a person has pinned to a digest before it is loaded; empty: that is not.
func (r Run) PinTo(digest string) Run {
	if digest == "" {
		return r
	}
	r.Pins = map[EngineName]string{}
	for _, engine := range PinEngines() {
		r.Pins[engine] = digest
	}
	return r
}

// A DigestCount is how many stored answers of a run are of one digest.
type DigestCount struct {
	Engine  EngineName `json:"engine"` // empty, as is the digest, for those that do not say it
	Digest  string     `json:"digest"`
	Answers int        `json:"answers"`
}
