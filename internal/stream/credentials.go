package stream

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// credentials are what is in a .creds file: a token that says who the user is, and the seed of
// the key that signs.
type credentials struct{ token, seed string }

// readCreds takes a path or the content itself: a notebook's secret is a string. It never prints
// what they hold.
func readCreds(creds string) (credentials, error) {
	content := creds
	isPath := isFile(creds) || !looksSecret(creds)
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

func isFile(s string) bool {
	info, err := os.Stat(s)
	return err == nil && !info.IsDir()
}

func looksSecret(s string) bool {
	return strings.Contains(s, "BEGIN ") || strings.Contains(s, "\n") || strings.Contains(s, "eyJ") || len(s) > 1024 ||
		strings.HasPrefix(strings.TrimSpace(s), "SU")
}

// parseCreds finds the token and the seed wherever they stand: forms and secret stores like to
// lose line breaks.
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

// A refresher supplies the credentials each time a connection is made. It reads a file again: a
// new one may have replaced one that expired.
type refresher struct {
	from string // the path or the content

	mu   sync.Mutex
	last credentials
}

func (r *refresher) option() nats.Option {
	return nats.UserJWT(
		func() (string, error) { return r.read().token, nil },
		func(nonce []byte) ([]byte, error) {
			var o nats.Options // nats.go knows how to sign
			if err := r.latest().option()(&o); err != nil {
				return nil, err
			}
			return o.SignatureCB(nonce)
		})
}

// read returns what the source holds now, or what it held last if that cannot be read.
func (r *refresher) read() credentials {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, err := readCreds(r.from); err == nil {
		r.last = c
	}
	return r.last
}

func (r *refresher) latest() credentials {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// advice says what is wrong with credentials that the server refuses, as far as they tell. No
// refresher means that none were given.
func (r *refresher) advice(now time.Time) string {
	if r == nil {
		return "give credentials (NATS_CREDS) that are for this server"
	}
	if expired := r.latest().claims().Expires; expired > 0 && now.Unix() >= expired {
		return fmt.Sprintf("the credentials expired on %s: make new ones for this user (NATS_CREDS)", time.Unix(expired, 0).UTC().Format(time.RFC3339))
	}
	return "check the credentials (NATS_CREDS): are they for this server, and were they revoked?"
}

// claims are what a token says of its user, as far as this package needs it. What cannot be read
// is empty.
type claims struct {
	Name, Sub string
	Expires   int64 `json:"exp"` // seconds since 1970; 0: never
}

func (c credentials) claims() (claims claims) {
	parts := strings.Split(c.token, ".")
	if len(parts) != 3 {
		return claims
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		_ = json.Unmarshal(payload, &claims)
	}
	return claims
}

// user returns the name in the token if it can stand in a subject, else the user's public key.
func (c credentials) user() string {
	claims := c.claims()
	if isToken(claims.Name) {
		return claims.Name
	}
	return claims.Sub
}
