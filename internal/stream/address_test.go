package stream

import (
	"strings"
	"testing"
)

func TestTheUserOfAnAddressIsKnownAndATokenIsNone(t *testing.T) {
	for list, want := range map[string]string{
		"nats://alice:secret@host:4222":          "alice",
		"alice:secret@host":                      "alice",
		"nats://host,nats://bob:secret@host2":    "bob",
		"nats://token@host:4222":                 "",
		"nats://host:4222":                       "",
		"nats://not.one%20token:secret@host:422": "",
	} {
		urls, user, err := checkURL(list, "")
		if err != nil || user != want {
			t.Errorf("%s: the user is %q, want %q: %v", list, user, want, err)
		}
		for _, secret := range []string{"secret", "token@"} {
			if strings.Contains(redact(urls), secret) {
				t.Errorf("%s is shown as %s", list, redact(urls))
			}
		}
	}
}

func TestAnAddressThatIsNoneIsNotRepeated(t *testing.T) {
	for _, list := range []string{"nats://user:hush@%zz", "nats://user:hu,sh@host", "nats://user:hu/hush@host", "nats://user:hu#hush@host", "http://user:hush@host", "hush@", ","} {
		if _, _, err := checkURL(list, ""); err == nil || strings.Contains(err.Error(), "hu") {
			t.Errorf("%s: %v", list, err)
		}
	}
}
