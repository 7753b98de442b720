package store_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

func TestAURIThatIsNotUnderstoodIsExplained(t *testing.T) {
	for uri, want := range map[string]string{
		"":                                         "sqlite:PATH",
		"store.db":                                 "sqlite:PATH",
		"postgres://u:hunter22@host/db":            `"postgres:…" is not known`,
		"mongodb:host":                             "two slashes",
		"mongodb://":                               "the host is missing",
		"mongodb:///gleaner":                       "the host is missing",
		"mongodb://host/a.b":                       "the database's name",
		"mongodb://host:nan/gleaner":               "mongodb://HOST[:PORT]",
		"mongodb://u:hunt%er22@host/gleaner":       "percent-encoded",
		"mongodb://u:hun/ter22@host/gleaner":       "percent-encoded",
		"mongodb://u:hun?ter22@host/gleaner":       "percent-encoded",
		"mongodb://u:hunter22@host/?maxPoolSize=x": "mongodb://HOST[:PORT]",
	} {
		started := time.Now()
		s, err := store.Open(t.Context(), uri)
		if err == nil {
			t.Errorf("%q: opened: %v", uri, s.Close())
			continue
		}
		t.Log(err)
		if text := err.Error(); !strings.Contains(text, want) || strings.Contains(text, "hun") || strings.Contains(text, "%er") {
			t.Errorf("%q: got %q, want %q in it and no password", uri, text, want)
		}
		if pipeline.ClassOf(err) != pipeline.Fatal {
			t.Errorf("%q: class %s", uri, pipeline.ClassOf(err))
		}
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%q: took %s", uri, took)
		}
	}
}

func TestAServerThatIsNotThereSaysWhatToCheck(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), "mongodb://user:hunter22@"+address+"/gleaner?serverSelectionTimeoutMS=200")
	if err == nil {
		t.Fatal("opened")
	}
	t.Log(err)
	for _, want := range []string{"mongodb://" + address + "/gleaner", "check the address", "access list"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter22") || pipeline.ClassOf(err) != pipeline.Retryable {
		t.Errorf("got a %s error %q", pipeline.ClassOf(err), err)
	}
}

func TestCredentialsThatAreRefusedAreFatal(t *testing.T) {
	scheme, rest, _ := strings.Cut(storetest.MongoURI(t), "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	_, err := store.Open(t.Context(), scheme+"://stranger:hunter22@"+rest)
	t.Log(err)
	if err == nil || pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(err.Error(), "check the user") || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("got %v", err)
	}
}
