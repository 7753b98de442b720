package nats_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/stream"
)

// The users of permissions.conf may do what their role needs, and a probe says so.
func TestAProbeSaysWhichRoleAUserHas(t *testing.T) {
	as := roles(t)
	maker := as("producer")
	if err := maker.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"producer", "consumer", "sink"} {
		said, err := as(role).Probe(t.Context())
		if err != nil || said.JetStream != nil {
			t.Fatalf("%s: %+v, %v", role, said, err)
		}
		for other, refused := range said.Refused {
			if other == role {
				t.Errorf("%s is refused %v", role, refused)
			}
		}
		if len(said.Refused) != 2 {
			t.Errorf("%s is refused %v", role, said.Refused)
		}
	}
}

// Who serves has both roles of the operator's side, and not that of a notebook.
func TestTheOperatorMayDoWhatProducerAndSinkDo(t *testing.T) {
	as := roles(t)
	if err := as("producer").Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	said, err := as("operator").Probe(t.Context())
	if err != nil || len(said.Refused) != 1 || len(said.Refused["consumer"]) == 0 {
		t.Errorf("the operator is refused %v (%v)", said.Refused, err)
	}
}

func TestAProbeLeavesNothing(t *testing.T) {
	server := natsdtest.Start(t, natsd.Config{Port: -1, Warn: func(line string) { t.Errorf("the server warns: %s", line) }})
	conn, err := stream.Connect(t.Context(), stream.Config{URL: server.URL(), Name: "doctor"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	said, err := conn.Probe(t.Context())
	if err != nil || len(said.Refused) > 0 || said.JetStream != nil || !said.Limited || said.Version == "" {
		t.Fatalf("%+v, %v", said, err)
	}
	if err := conn.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	streams := 0
	list := js.ListStreams(t.Context())
	for info := range list.Info() {
		if streams++; info.State.LastSeq != 0 || info.Config.Name == "GLEANER_WORK" && info.State.Consumers != 0 {
			t.Errorf("stream %s has seen %d messages, and has %d durables", info.Config.Name, info.State.LastSeq, info.State.Consumers)
		}
	}
	if list.Err() != nil || streams != 4 {
		t.Errorf("%d streams, %v", streams, list.Err())
	}
}
