package sign

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"

	"gleaner/internal/invite"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// team runs a server in operator mode, as a hosted service does, with a run, and returns its
// account.
func team(t *testing.T) (url string, account *natsdtest.HostedAccount) {
	t.Helper()
	server, account := natsdtest.StartTeam(t, natsdtest.FreeTier())
	conn, err := stream.Connect(t.Context(), stream.Config{URL: server.URL(), Creds: account.Creds(natsdtest.Limits{UserName: "producer"}), Name: "producer"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	run := pipeline.Run{Name: "words", UID: "uid", Spec: pipeline.Spec{Model: "tiny"}}
	if err := conn.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := conn.EnsureRun(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	err = conn.Publish(t.Context(), pipeline.Work{
		Run: "words", UID: "uid", Round: 1, Model: "tiny", Options: pipeline.Options{NumPredict: 10}, Generations: []pipeline.Generation{{Messages: pipeline.User("What?")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return server.URL(), account
}

// invited connects with nothing but the string of an invitation.
func invited(ctx context.Context, t *testing.T, text string) (*stream.Conn, error) {
	t.Helper()
	i, err := invite.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := stream.Connect(ctx, stream.Config{URL: i.NATS, Creds: i.Creds, Name: "consumer", Timeout: 5 * time.Second})
	if err == nil {
		t.Cleanup(conn.Close)
	}
	return conn, err
}

func TestAnInvitationMadeWithAKeyLetsAConsumerWorkAndNothingMore(t *testing.T) {
	url, account := team(t)
	own, signing, public := account.Keys()
	for name, terms := range map[string]Terms{
		"the account's own key":                        {Key: own},
		"the same, with the account named":             {Key: own, Account: public},
		"a signing key, in a file with words about it": {Key: "# of the team\n" + signing + "\n", Account: public},
	} {
		t.Run(name, func(t *testing.T) {
			terms.NATS, terms.Run, terms.For = url, "words", 30*24*time.Hour
			made, err := Make(terms, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			conn, err := invited(t.Context(), t, made.Invite)
			if err != nil {
				t.Fatal(err)
			}
			runs, err := conn.Runs(t.Context())
			if err != nil || len(runs) != 1 || runs[0].Run != "words" || runs[0].Model != "tiny" {
				t.Errorf("the runs are %v, %v", runs, err)
			}
			stop, err := conn.HearNews("words", func(pipeline.RunNews) {})
			if err != nil {
				t.Fatal(err)
			}
			stop()
			said, err := conn.Probe(t.Context())
			if err != nil || len(said.Refused["consumer"]) > 0 || len(said.Refused["producer"]) == 0 || len(said.Refused["sink"]) == 0 {
				t.Errorf("refused: %v, %v", said.Refused, err)
			}
			if err := made.Judge(said.Refused, false); err != nil || made.More {
				t.Errorf("judged: %v", err)
			}
			if made.Ends != ByServer || made.User == "" || made.PublicKey == "" {
				t.Errorf("%+v does not say who ends it", made)
			}
			claims := claimsOf(t, made.Invite)
			publish, subscribe := Permissions(made.User)
			want := jwt.Permissions{Pub: jwt.Permission{Allow: publish}, Sub: jwt.Permission{Allow: subscribe}}
			if diff := cmp.Diff(want, claims.Permissions); diff != "" {
				t.Errorf("permissions (-want +got):\n%s", diff)
			}
			if claims.Expires != made.Expires.Unix() || claims.Subject != made.PublicKey {
				t.Errorf("the user is %s and ends at %d, want %s and %d", claims.Subject, claims.Expires, made.PublicKey, made.Expires.Unix())
			}
		})
	}
}

func claimsOf(t *testing.T, text string) *jwt.UserClaims {
	t.Helper()
	i, err := invite.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(strings.Fields(i.Creds)[0])
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTheServerRefusesAnInvitationThatHasExpired(t *testing.T) {
	url, account := team(t)
	own, _, _ := account.Keys()
	made, err := Make(Terms{NATS: url, Run: "words", Key: own, For: time.Hour}, time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := invited(ctx, t, made.Invite); err == nil || !strings.Contains(err.Error(), "the credentials expired on") {
		t.Errorf("the server says %v", err)
	}
}

// Two helpers who have an invitation each do not hear what is for the other one.
func TestEachInvitationHasAnInboxOfItsOwn(t *testing.T) {
	_, account := team(t)
	own, _, _ := account.Keys()
	seen := map[string]bool{}
	for range 3 {
		made, err := Make(Terms{NATS: "nats://host", Run: "words", Key: own, For: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		inbox := claimsOf(t, made.Invite).Sub.Allow[0]
		if seen[inbox] || !strings.HasPrefix(inbox, "_INBOX_consumer-") {
			t.Errorf("the inbox is %s", inbox)
		}
		seen[inbox] = true
	}
}

func TestCredentialsThatAreThereArePackedAsTheyAre(t *testing.T) {
	url, account := team(t)
	now := time.Now()
	publish, subscribe := Permissions("consumer")
	for name, c := range map[string]struct {
		end        time.Time // of the credentials
		ends       string
		want, rest time.Duration // until the invitation's end, and that of its credentials
	}{
		"without an end":    {time.Time{}, ByConsumer, 24 * time.Hour, 0},
		"with a later one":  {now.Add(48 * time.Hour), ByConsumer, 24 * time.Hour, 48 * time.Hour},
		"with a sooner one": {now.Add(time.Hour), ByServer, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			creds := account.Creds(natsdtest.Limits{UserName: "consumer", UserExpires: c.end, PublishAllowed: publish, SubscribeAllowed: subscribe})
			made, err := Make(Terms{NATS: url, Run: "words", Creds: creds, For: 24 * time.Hour}, now)
			if err != nil {
				t.Fatal(err)
			}
			if made.Ends != c.ends || made.Expires.Sub(now).Round(time.Minute) != c.want || !made.CredsEnd.IsZero() != (c.rest > 0) {
				t.Errorf("it is ended by the %s in %s; the credentials at %s", made.Ends, made.Expires.Sub(now), made.CredsEnd)
			}
			if _, err := invited(t.Context(), t, made.Invite); err != nil {
				t.Error(err)
			}
		})
	}
	creds := account.Creds(natsdtest.Limits{UserName: "consumer", UserExpires: now.Add(-time.Hour)})
	if _, err := Make(Terms{NATS: url, Run: "words", Creds: creds, For: time.Hour}, now); err == nil || !strings.Contains(err.Error(), "have expired") {
		t.Errorf("credentials that have expired: %v", err)
	}
}

func TestWhatMayDoMoreThanAConsumerIsNotGivenAway(t *testing.T) {
	for name, c := range map[string]struct {
		refused map[string][]string
		trusted bool
		want    string
	}{
		"a consumer":                  {map[string][]string{"producer": {"a"}, "sink": {"b"}}, false, ""},
		"a producer":                  {map[string][]string{"consumer": {"publish $JS.ACK.GLEANER_WORK.doctor"}, "sink": {"b"}}, false, "may not do a consumer's work: it may not publish $JS.ACK.GLEANER_WORK.doctor"},
		"one who may do all":          {nil, false, "could also do the operator's work"},
		"one who may do all, trusted": {nil, true, ""},
		"a sink and consumer":         {map[string][]string{"producer": {"a"}}, false, "could also do the operator's work"},
	} {
		err := new(Made).Judge(c.refused, c.trusted)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// What is wrong with a key is said, and nothing of it is repeated.
func TestAWrongKeyIsNamedAndNotRepeated(t *testing.T) {
	_, account := team(t)
	own, _, _ := account.Keys()
	user := strings.Fields(account.Creds(natsdtest.Limits{UserName: "u"}))
	seed := ""
	for _, word := range user {
		if strings.HasPrefix(word, "SU") {
			seed = word
		}
	}
	for name, c := range map[string]struct{ request, want string }{
		"nothing":       {"#", "no signing key in it"},
		"a user's":      {seed, "that is a user's key"},
		"an operator's": {"SO" + own[2:], "that is an operator's key"},
		"a server's":    {"SN" + own[2:], "no key of an account"},
		"damaged":       {own[:30] + "ABCDEF" + own[36:], "the signing key is damaged"},
		"cut off":       {own[:40], "no signing key in it"},
	} {
		_, err := Make(Terms{NATS: "nats://host", Run: "r", Key: c.request, For: time.Hour}, time.Now())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && len(c.request) > 10 && strings.Contains(err.Error(), c.request[5:]) {
			t.Errorf("%s: %v repeats the key", name, err)
		}
	}
	if _, err := Make(Terms{NATS: "nats://host", Run: "r", Key: own, Account: "ABC", For: time.Hour}, time.Now()); err == nil || !strings.Contains(err.Error(), "--account is no public key") {
		t.Errorf("a wrong account: %v", err)
	}
}

func TestAnAddressOfThisMachineIsNoticed(t *testing.T) {
	for address, want := range map[string]bool{
		"nats://127.0.0.1:4222": true, "localhost": true, "nats://u:p@[::1]:4222": true, "tls://host:4222,nats://127.0.0.1": true,
		"tls://connect.example": false, "wss://10.0.0.1:443": false,
	} {
		if isHere(address) != want {
			t.Errorf("%s: %t", address, !want)
		}
	}
}
