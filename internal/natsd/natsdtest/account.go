package natsdtest

import (
	"testing"
	"time"

	"gleaner/internal/natsd"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Limits are what a hosted account allows for streams with one replica. Zero means unlimited, but
// for WithReplicas3.
type Limits struct {
	MaxStore         int64 // bytes of all streams together
	MaxStreamBytes   int64 // bytes of one stream
	MaxStreams       int64
	MaxConsumers     int64 // JetStream's own, of all streams
	MaxConnections   int64
	MaxSubscriptions int64 // of one connection
	MaxPayload       int64 // bytes of one message
	MaxBytesRequired bool
	WithReplicas3    bool // streams with three replicas are allowed too
	UserName         string
	UserExpires      time.Time // zero: never
	PublishAllowed   []string  // subjects; none means all
	SubscribeAllowed []string
}

// StartAccount runs a server with one account, as a hosted service would give it, and returns the
// content of its user's .creds file.
func StartAccount(t testing.TB, limits Limits) (s *Server, creds string) {
	t.Helper()
	s, account := StartTeam(t, limits)
	return s, account.Creds(limits)
}

// A HostedAccount makes users.
type HostedAccount struct {
	t      testing.TB
	key    key
	signer key // one of its signing keys
	limits Limits
	store  func(*jwt.AccountClaims)
}

// Creds returns the content of a new user's .creds file: name, expiry and permissions are those
// of the limits.
func (a *HostedAccount) Creds(limits Limits) string {
	a.t.Helper()
	return userCreds(a.t, a.key, newKey(a.t, nkeys.CreateUser), limits)
}

// Revoke revokes all users that were made so far. The server knows it after a restart.
func (a *HostedAccount) Revoke() {
	claims := accountClaims(a.key.public, a.limits)
	claims.RevokeAt(jwt.All, time.Now())
	a.store(claims)
}

// StartTeam runs a server with one account, as a hosted service would give it.
func StartTeam(t testing.TB, limits Limits) (s *Server, a *HostedAccount) {
	t.Helper()
	operator := newKey(t, nkeys.CreateOperator)
	system := newKey(t, nkeys.CreateAccount)
	account, signer := newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateAccount)

	resolver := &server.MemAccResolver{}
	store := func(claims *jwt.AccountClaims) {
		token, err := claims.Encode(operator.pair)
		check(t, err)
		check(t, resolver.Store(claims.Subject, token))
	}
	store(jwt.NewAccountClaims(system.public))
	claims := accountClaims(account.public, limits)
	claims.SigningKeys.Add(signer.public)
	store(claims)

	operatorClaims := jwt.NewOperatorClaims(operator.public)
	operatorClaims.SystemAccount = system.public
	s = Start(t, natsd.Config{Adjust: func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{operatorClaims}
		o.SystemAccount = system.public
		o.AccountResolver = resolver
	}})
	return s, &HostedAccount{t, account, signer, limits, store}
}

// Keys returns the seed of the account's own key, that of one of its signing keys, and the public
// key of the account.
func (a *HostedAccount) Keys() (own, signing, account string) {
	a.t.Helper()
	ownSeed, err := a.key.pair.Seed()
	check(a.t, err)
	signingSeed, err := a.signer.pair.Seed()
	check(a.t, err)
	return string(ownSeed), string(signingSeed), a.key.public
}

func accountClaims(subject string, limits Limits) *jwt.AccountClaims {
	claims := jwt.NewAccountClaims(subject)
	claims.Name = "team"
	tier := jwt.JetStreamLimits{
		MemoryStorage:        0,
		DiskStorage:          unlimited(limits.MaxStore),
		Streams:              unlimited(limits.MaxStreams),
		Consumer:             unlimited(limits.MaxConsumers),
		MaxAckPending:        jwt.NoLimit,
		DiskMaxStreamBytes:   limits.MaxStreamBytes,
		MemoryMaxStreamBytes: 0,
		MaxBytesRequired:     limits.MaxBytesRequired,
	}
	claims.Limits.JetStreamTieredLimits = jwt.JetStreamTieredLimits{"R1": tier}
	if limits.WithReplicas3 {
		claims.Limits.JetStreamTieredLimits["R3"] = tier
	}
	claims.Limits.Conn = unlimited(limits.MaxConnections)
	claims.Limits.Subs = unlimited(limits.MaxSubscriptions)
	claims.Limits.Payload = unlimited(limits.MaxPayload)
	return claims
}

func userCreds(t testing.TB, account, user key, limits Limits) string {
	t.Helper()
	claims := jwt.NewUserClaims(user.public)
	claims.Name = limits.UserName
	if !limits.UserExpires.IsZero() {
		claims.Expires = limits.UserExpires.Unix()
	}
	claims.Pub.Allow = limits.PublishAllowed
	claims.Sub.Allow = limits.SubscribeAllowed
	token, err := claims.Encode(account.pair)
	check(t, err)
	seed, err := user.pair.Seed()
	check(t, err)
	creds, err := jwt.FormatUserConfig(token, seed)
	check(t, err)
	return string(creds)
}

type key struct {
	pair   nkeys.KeyPair
	public string
}

func newKey(t testing.TB, create func() (nkeys.KeyPair, error)) key {
	t.Helper()
	pair, err := create()
	check(t, err)
	public, err := pair.PublicKey()
	check(t, err)
	return key{pair, public}
}

func unlimited(n int64) int64 {
	if n == 0 {
		return jwt.NoLimit
	}
	return n
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
