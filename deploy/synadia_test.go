package deploy_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"gleaner/internal/invite/sign"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// may is the subjects that a user may publish and subscribe to.
type may struct{ Publish, Subscribe []string }

// permitted returns what deploy/nats/permissions.conf says, as a real server reads it.
func permitted(t *testing.T) map[string]may {
	t.Helper()
	for _, role := range []string{"PRODUCER", "CONSUMER", "SINK", "OPERATOR"} {
		t.Setenv("GLEANER_"+role+"_PASSWORD", "secret")
	}
	file, err := server.ProcessConfigFile("nats/permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]may{}
	for _, user := range file.Users {
		all[user.Username] = may{user.Permissions.Publish.Allow, user.Permissions.Subscribe.Allow}
	}
	return all
}

// users runs the script, with a shell in which nsc only shows its arguments.
func users(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", "-c", script).Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return string(out)
}

func TestTheScriptGivesEachUserWhatThePermissionsSay(t *testing.T) {
	want := permitted(t)
	got := map[string]may{}
	nsc := `nsc() { printf '%s\n' "$@"; echo; }; eval "$(bash synadia/users.sh team)"`
	for command := range strings.SplitSeq(strings.TrimSpace(users(t, nsc)), "\n\n") {
		args := strings.Split(command, "\n")
		if args[0] != "add" {
			continue
		}
		var name string
		var m may
		for i, arg := range args[:len(args)-1] {
			switch arg {
			case "--name":
				name = args[i+1]
			case "--allow-pub":
				m.Publish = append(m.Publish, args[i+1])
			case "--allow-sub":
				m.Subscribe = append(m.Subscribe, args[i+1])
			}
		}
		got[name] = m
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("users (-permissions.conf +users.sh):\n%s", diff)
	}
	for user, m := range want {
		var lines []string
		for _, subject := range m.Publish {
			lines = append(lines, "publish "+subject)
		}
		for _, subject := range m.Subscribe {
			lines = append(lines, "subscribe "+subject)
		}
		if diff := cmp.Diff(strings.Join(lines, "\n")+"\n", users(t, "bash synadia/users.sh list "+user)); diff != "" {
			t.Errorf("the list for %s (-want +got):\n%s", user, diff)
		}
	}
}

// What an invitation's user may do is what the consumer's may, with an inbox of its own.
func TestAnInvitationGivesWhatThePermissionsSay(t *testing.T) {
	publish, subscribe := sign.Permissions("consumer")
	if diff := cmp.Diff(permitted(t)["consumer"], may{publish, subscribe}); diff != "" {
		t.Errorf("the consumer (-permissions.conf +invitation):\n%s", diff)
	}
}

// On an account with the limits of the free plan, users with no more than these permissions make
// the streams and use them; the sink's waits for them. The consumer's job with its permissions is
// shown in deploy/nats.
func TestAFreeAccountIsEnough(t *testing.T) {
	permitted := permitted(t)
	for _, user := range []string{"producer", "sink"} {
		t.Run(user, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s, creds := natsdtest.StartAccount(t, natsdtest.Limits{
				MaxStore: 5 << 30, MaxStreams: 10, MaxConsumers: 100, MaxConnections: 10, MaxBytesRequired: true,
				UserName: user, PublishAllowed: permitted[user].Publish, SubscribeAllowed: permitted[user].Subscribe,
			})
			conn, err := stream.Connect(ctx, stream.Config{URL: s.URL(), Creds: creds, Name: user})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if user == "sink" { // it waits for the streams
				if owners, err := conn.Owners(ctx, false); err != nil || len(owners) > 0 {
					t.Errorf("%v, %v", owners, err)
				}
				return
			}
			if err := conn.Ensure(ctx); err != nil {
				t.Fatal(err)
			}
			run := pipeline.Run{Name: "words", UID: "uid", Spec: pipeline.Spec{Model: "tiny"}}
			if err := conn.EnsureRun(ctx, run); err != nil {
				t.Fatal(err)
			}
			err = conn.Publish(ctx, pipeline.Work{
				Run: run.Name, UID: run.UID, Round: 1, Model: "tiny", Options: pipeline.Options{NumPredict: 10},
				Generations: []pipeline.Generation{{Messages: pipeline.User("What?")}},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
