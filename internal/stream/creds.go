package stream

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// credentials are what is in a .creds file: a token that says who the user is, and the seed of the key that signs.
type credentials struct{ token, seed string }

// readCreds takes a path or the content itself: a notebook's secret is a string. What it holds is never printed.
func readCreds(creds string) (credentials, error) {
	content := creds
	isPath := !looksSecret(creds)
	if isPath {
		data, err := os.ReadFile(creds)
		if err != nil {
			return credentials{}, pipeline.Fail(pipeline.Fatal, "read the NATS credentials: %w: give the path of a .creds file, or its content", err)
		}
		content = string(data)
	}
	c, err := parseCreds(content)
	if err != nil && isPath {
		return c, pipeline.Fail(pipeline.Fatal, "the NATS credentials in %s: %w", creds, err)
	} else if err != nil {
		return c, pipeline.Fail(pipeline.Fatal, "the NATS credentials: %w", err)
	}
	return c, nil
}

func looksSecret(s string) bool {
	return strings.Contains(s, "BEGIN ") || strings.Contains(s, "\n") || strings.Contains(s, "eyJ") || len(s) > 1024 ||
		strings.HasPrefix(strings.TrimSpace(s), "SU")
}

// parseCreds finds the token and the seed wherever they stand: forms and secret stores like to lose line breaks.
func parseCreds(content string) (credentials, error) {
	c := credentials{
		token: regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`).FindString(content),
		seed:  regexp.MustCompile(`\bSU[A-Z2-7]{56}\b`).FindString(content),
	}
	switch {
	case c.token == "":
		return c, errors.New("there is no user JWT in them: use the whole .creds file")
	case c.seed == "":
		return c, errors.New("there is no user seed in them: use the whole .creds file")
	}
	return c, nil
}

func (c credentials) option() nats.Option {
	return nats.UserCredentialBytes(fmt.Appendf(nil,
		"-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"+
			"-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", c.token, c.seed))
}

// user returns the name in the token if it can stand in a subject, else the user's public key.
func (c credentials) user() string {
	parts := strings.Split(c.token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct{ Name, Sub string }
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	if isToken(claims.Name) {
		return claims.Name
	}
	return claims.Sub
}

func isToken(s string) bool { return regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(s) }
