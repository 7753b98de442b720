package cli

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// withoutSecrets hides what may be a secret in the text of an error about a command line, which
// repeats what it does not understand.
func withoutSecrets(text string, args []string) string {
	var hidden []string
	for i, arg := range args {
		name, value, found := strings.Cut(arg, "=")
		switch {
		case found && strings.HasPrefix(name, "-"):
			hidden = append(hidden, secretIn(value, holdsSecret(name)))
		default:
			hidden = append(hidden, secretIn(arg, i > 0 && holdsSecret(args[i-1])))
		}
	}
	slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) }) // so that no part of one is left
	for _, secret := range hidden {
		if secret != "" {
			quoted := strconv.Quote(secret)
			text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], "…")
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return text
}

// holdsSecret reports whether a flag's value may hold a secret.
func holdsSecret(flag string) bool {
	return slices.Contains([]string{"--nats-creds", "--nats-url", "--store", "--ollama"}, flag)
}

// secretIn returns a word of a command line if it may be, or hold, a secret: because of the flag
// before it, or because it looks like an address with a user, a token, a key or a part of a file
// with credentials. What is shorter than four characters is none; without it the rest of the error
// could not be read.
func secretIn(word string, expected bool) string {
	if expected && len(word) > 3 || regexp.MustCompile(`@|://|eyJ|---|\bS[UAONCX][A-Z2-7]{10}`).MatchString(word) {
		return word
	}
	return ""
}
