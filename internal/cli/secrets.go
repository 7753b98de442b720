package cli

import (
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

// holdsSecret reports whether a flag's value may hold a secret.
func holdsSecret(flag string) bool {
	return slices.Contains([]string{"--nats-creds", "--nats-url", "--store", "--ollama"}, flag)
}
