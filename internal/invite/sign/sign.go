// Package sign makes invitations, on the operator's side. With an account's signing key an
// invitation is a user of NATS who may do a consumer's work and nothing more, until a time that the
// server enforces; else it holds what the operator has.
package sign

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Permissions returns what a consumer of this name may publish and subscribe to, as
// deploy/nats/permissions.conf says it. The inbox is the user's own.
func Permissions(name string) (publish, subscribe []string) {
	return []string{
			"$JS.API.CONSUMER.LIST.GLEANER_WORK",
			"$JS.API.CONSUMER.INFO.GLEANER_WORK.*",
			"$JS.API.CONSUMER.MSG.NEXT.GLEANER_WORK.*",
			"$JS.ACK.GLEANER_WORK.>",
			"$JS.ACK.*.*.GLEANER_WORK.>",
			"gleaner.result.>",
			"gleaner.dead.*.*",
			"$KV.gleaner_consumers.*",
		}, []string{
			"_INBOX_" + name + ".>",
			"gleaner.hello.*",
		}
}

// A Signed user is what Creds makes.
type Signed struct {
	Creds string // the user's JWT and seed, each on a line
	User  string // the user's public key, by which the user can be revoked
}

var (
	seeds  = regexp.MustCompile(`\bS[A-Z][A-Z2-7]{56}\b`)
	tokens = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)
)

// Creds makes a user of this name, with a consumer's permissions, who ends at a time. Key is the
// text of a file with the seed of the account's key, or of one of its signing keys; then account
// names the account by its public key. No error repeats the seed.
func Creds(key, account, name string, until time.Time) (Signed, error) {
	signer, err := signer(key)
	if err != nil {
		return Signed{}, err
	}
	defer signer.Wipe()
	issuer, err := signer.PublicKey()
	if err != nil {
		return Signed{}, errors.New("the signing key is damaged: copy the whole seed, 58 characters that begin with SA")
	}
	if account != "" && !nkeys.IsValidPublicAccountKey(account) {
		return Signed{}, errors.New("--account is no public key of an account: it has 56 characters, the first of which is A")
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return Signed{}, fmt.Errorf("make a user's key: %w", err)
	}
	public, err := user.PublicKey()
	if err != nil {
		return Signed{}, fmt.Errorf("make a user's key: %w", err)
	}
	seed, err := user.Seed()
	if err != nil {
		return Signed{}, fmt.Errorf("make a user's key: %w", err)
	}
	claims := jwt.NewUserClaims(public)
	claims.Name, claims.Expires = name, until.Unix()
	claims.Pub.Allow, claims.Sub.Allow = Permissions(name)
	if account != "" && account != issuer {
		claims.IssuerAccount = account
	}
	token, err := claims.Encode(signer)
	if err != nil {
		return Signed{}, fmt.Errorf("sign the user: %w", err)
	}
	return Signed{Creds: token + "\n" + string(seed), User: public}, nil
}

// signer returns the key whose seed stands in a text.
func signer(text string) (nkeys.KeyPair, error) {
	seed := seeds.FindString(text)
	switch {
	case seed == "":
		return nil, errors.New("there is no signing key in it: a seed has 58 characters, the first of which are SA")
	case strings.HasPrefix(seed, "SU"):
		return nil, errors.New("that is a user's key, which can sign nothing: an account's begins with SA; credentials that are there already are given with --creds")
	case strings.HasPrefix(seed, "SO"):
		return nil, errors.New("that is an operator's key: take one of the account, which begins with SA")
	case !strings.HasPrefix(seed, "SA"):
		return nil, errors.New("that is no key of an account, which begins with SA")
	}
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, errors.New("the signing key is damaged: copy the whole seed, 58 characters that begin with SA")
	}
	return pair, nil
}

// Given reads credentials that are there already, the text of a .creds file, and returns them in
// short, and when they end, which is zero for never. No error repeats any of them.
func Given(text string) (signed Signed, until time.Time, err error) {
	token := tokens.FindString(text)
	seed := ""
	for _, found := range seeds.FindAllString(text, -1) {
		if strings.HasPrefix(found, "SU") {
			seed = found
		}
	}
	if token == "" || seed == "" {
		return Signed{}, until, errors.New("there is no user JWT with its seed in it: take the whole .creds file")
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return Signed{}, until, errors.New("the user JWT in it cannot be read: take the whole .creds file")
	}
	if claims.Expires > 0 {
		until = time.Unix(claims.Expires, 0).UTC()
	}
	return Signed{Creds: token + "\n" + seed, User: claims.Subject}, until, nil
}
