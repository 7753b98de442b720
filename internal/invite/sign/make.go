package sign

import (
	"crypto/rand"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"gleaner/internal/invite"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// Terms are what an invitation is made of.
type Terms struct {
	NATS string // the server's address
	Run  string
	For  time.Duration // how long it is good for

	Key     string // text with the seed of the account's key, or of one of its signing keys; or
	Creds   string // text of a .creds file; or neither, where the address holds user and password
	Account string // with a signing key: the account's public key; empty: the key is the account's
	User    string // with a key: name of the new user; empty: one that no other has
}

// A Made invitation, with what may be said of it.
type Made struct {
	Invite    string    `json:"invite"` // the string itself, which is a secret
	Run       string    `json:"run"`
	Model     string    `json:"model"` // empty: not known, for the run is not published
	NATS      string    `json:"nats"`  // the address without user and password
	User      string    `json:"user"`  // name of the user that was made; empty: it was there
	PublicKey string    `json:"public_key"`
	Expires   time.Time `json:"expires"`
	Ends      string    `json:"ends"` // who ends it then: the server, or the consumer alone
	Tried     bool      `json:"tried"`
	// CredsEnd is when the credentials that are packed end, if that is not Expires; zero: never.
	CredsEnd time.Time `json:"creds_end,omitzero"`
	Here     bool      `json:"-"` // the address is of this machine alone
	More     bool      `json:"-"` // who holds it may do more than a consumer

	what invite.Invitation
}

// Who ends an invitation.
const (
	ByServer   = "server"
	ByConsumer = "consumer"
)

// Make makes an invitation that is good from now on.
func Make(r Terms, now time.Time) (*Made, error) {
	if err := pipeline.ValidateRunName(r.Run); err != nil {
		return nil, &pipeline.SpecError{Field: "run", Problem: err.Error()}
	}
	made := &Made{Run: r.Run, NATS: text.Address(r.NATS), Expires: now.Add(r.For).UTC().Truncate(time.Second), Ends: ByConsumer, Here: isHere(r.NATS)}
	made.what = invite.Invitation{NATS: r.NATS, Run: r.Run}
	switch {
	case r.Key != "" && r.Creds != "":
		return nil, errors.New("a signing key makes new credentials, and --creds are some that are there already: give one of them (--signing-key, GLEANER_SIGNING_KEY)")
	case r.Key != "":
		if r.User == "" {
			r.User = "consumer-" + strings.ToLower(rand.Text()[:8])
		}
		signed, err := Creds(r.Key, r.Account, r.User, made.Expires)
		if err != nil {
			return nil, err
		}
		made.User, made.PublicKey, made.Ends, made.what.Creds = r.User, signed.User, ByServer, signed.Creds
	case r.Account != "" || r.User != "":
		return nil, errors.New("--account and --user are for a new user, which needs --signing-key")
	case r.Creds != "":
		signed, until, err := Given(r.Creds)
		if err != nil {
			return nil, err
		}
		made.PublicKey, made.CredsEnd, made.what.Creds = signed.User, until, signed.Creds
		if !until.IsZero() && !until.After(now) {
			return nil, errors.New("the credentials have expired, on " + until.Format(time.RFC3339) + ": take others")
		}
		if !until.IsZero() && until.Before(made.Expires) {
			made.Expires, made.CredsEnd, made.Ends = until, time.Time{}, ByServer
		}
	}
	made.seal()
	return made, nil
}

// seal makes the string of what is known.
func (m *Made) seal() {
	m.what.Expires, m.what.Model = m.Expires.Unix(), m.Model
	m.Invite = m.what.Text()
}

// Tell notes what the server says of the run, if it is there.
func (m *Made) Tell(run pipeline.RunInfo, there bool) {
	m.Tried = true
	if there {
		m.Model = run.Model
	}
	m.seal()
}

// Judge looks at what a trial found that the user may not do, by role. It returns an error if the
// user may not do a consumer's work, or may do another's, unless all who get it are trusted.
func (m *Made) Judge(refused map[string][]string, trusted bool) error {
	if missing := refused["consumer"]; len(missing) > 0 {
		return errors.New("this user may not do a consumer's work: it may not " + strings.Join(missing, ", ") + ". Give the consumer's, as in permissions.conf")
	}
	for _, role := range []string{"producer", "sink"} {
		m.More = m.More || len(refused[role]) == 0
	}
	if m.More && !trusted {
		return errors.New("who has this invitation could also do the operator's work, such as deleting runs: give the consumer's user in --nats-url, its --creds, or a --signing-key; " +
			"--trusted makes it all the same, where the server has no users")
	}
	return nil
}

// isHere reports whether an address, or one of several, is of this machine alone.
func isHere(addresses string) bool {
	for _, address := range strings.Split(addresses, ",") {
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		at, err := url.Parse(strings.TrimSpace(address))
		if err != nil {
			continue
		}
		ip := net.ParseIP(at.Hostname())
		if at.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return true
		}
	}
	return false
}
