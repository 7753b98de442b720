package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
)

// Doctor says which role a user of NATS may have, and of one that may have none what it lacks.
func TestDoctorSaysWhatAUserOfNATSMayDo(t *testing.T) {
	may := func(name string, publish ...string) *server.User {
		return &server.User{Username: name, Password: "secretword", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "gleaner.hello.*"}},
		}}
	}
	nats := natsdtest.Start(t, natsd.Config{Dir: t.TempDir(), Port: -1, Adjust: func(o *server.Options) {
		o.Users = []*server.User{
			may("helper", "$JS.API.CONSUMER.LIST.GLEANER_WORK", "$JS.API.CONSUMER.MSG.NEXT.GLEANER_WORK.*", "$JS.ACK.GLEANER_WORK.>", "gleaner.result.*.*", "gleaner.dead.*.*", "$KV.gleaner_consumers.*"),
			may("guest", "$JS.API.CONSUMER.LIST.GLEANER_WORK", "$JS.API.CONSUMER.MSG.NEXT.GLEANER_WORK.*", "$JS.ACK.GLEANER_WORK.>", "gleaner.dead.*.*", "$KV.gleaner_consumers.*"),
		}
	}})
	for user, want := range map[string]struct {
		says    string
		isWrong bool
	}{
		"helper": {"this user may do what the consumer does, and no more", false},
		"guest":  {"this user may do the whole work of no role; of the consumer it may not publish gleaner.result.doctor.0", true},
	} {
		cmd := program(t, "doctor", "--ollama", "http://127.0.0.1:1", "--data", filepath.Join(t.TempDir(), "none"))
		cmd.Env = append(os.Environ(), "NATS_URL="+strings.Replace(nats.URL(), "://", "://"+user+":secretword@", 1), "MONGODB_URI=", "NO_COLOR=1")
		said, _ := cmd.Output() // no model server is there, which is wrong as well
		if words := strings.Join(strings.Fields(string(said)), " "); !strings.Contains(words, want.says) || strings.Contains(words+fmt.Sprint(cmd.Stderr), "secretword") {
			t.Errorf("for %s it says:\n%s", user, said)
		}
		if wrong := strings.Contains(string(said), "NATS          wrong"); wrong != want.isWrong {
			t.Errorf("for %s NATS is wrong: %v:\n%s", user, wrong, said)
		}
	}
}
