package cli

import (
	"os"
	"slices"
	"strings"

	"gleaner/internal/text"
)

// withoutSecrets hides what may be a secret in the text of an error about a command line, which
// repeats what it does not understand.
func withoutSecrets(said string, args []string) string {
	var hidden []string
	secret := false // what follows, up to the next flag, may be a part of one that is not quoted
	for i, arg := range args {
		word := arg
		name, value, found := strings.Cut(arg, "=")
		switch {
		case i > 0 && holdsSecret(args[i-1]):
			secret = true
		case strings.HasPrefix(arg, "-") && found:
			word, secret = value, holdsSecret(name)
		case strings.HasPrefix(arg, "--"):
			secret = false
		}
		if secret = secret || text.MayBeSecret(word); secret {
			hidden = append(hidden, word)
		}
	}
	return text.SecretsOf(hidden...).Hide(said)
}

// strayWords returns the words that stand behind the value of a flag that may hold a secret, and
// that are no files: parts of an address that was not quoted, which a command takes for files.
func strayWords(args []string) (stray []string) {
	after := 0 // words since such a flag; 0: there is none before the next flag
	for _, arg := range args {
		switch {
		case strings.HasPrefix(arg, "-"):
			after = 0
			if name, _, found := strings.Cut(arg, "="); holdsSecret(name) {
				after = 1
				if found {
					after = 2
				}
			}
		case after == 1:
			after = 2
		case after == 2:
			if _, err := os.Stat(arg); err != nil {
				stray = append(stray, arg)
			}
		}
	}
	return stray
}

// holdsSecret reports whether a flag's value may hold a secret.
func holdsSecret(flag string) bool {
	return slices.Contains([]string{"--invite", "--signing-key", "--creds", "--nats-creds", "--nats-url", "--store", "--ollama"}, flag)
}
