package store_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

func TestAURIThatIsNotUnderstoodIsExplained(t *testing.T) {
	for uri, want := range map[string]string{
		"":                                         "sqlite:PATH",
		"store.db":                                 "sqlite:PATH",
		"~/store.db":                               "write sqlite:~/store.db",
		"./store.db":                               "write sqlite:./store.db",
		"sqlite://store.db":                        "write sqlite:store.db",
		"sqlite://~/store.db":                      "write sqlite:~/store.db",
		"sqlite:~anna/store.db":                    "write the path out",
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
	for _, want := range []string{"mongodb://" + address + "/gleaner", "check the address", "may be paused"} {
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

func TestManyProcessesGiveAStoreOneID(t *testing.T) {
	for name, uri := range map[string]string{"mongodb": storetest.MongoURI(t), "sqlite": "sqlite:" + filepath.Join(t.TempDir(), "g.db")} {
		var group errgroup.Group
		ids := make([]string, 8)
		for i := range ids {
			s := open(t, uri)
			group.Go(func() error {
				who, err := s.MakeIdentity(t.Context())
				ids[i] = who.ID
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) != 1 || ids[0] == "" {
			t.Errorf("%s: got the ids %q", name, ids)
		}
	}
}

func TestTheHomeFolderIsUnderstood(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	open(t, "sqlite:~/new/g.db")
	if _, err := os.Stat(filepath.Join(home, "new", "g.db")); err != nil {
		t.Error(err)
	}
}

func TestAStoreIsForItsUserAlone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	s := open(t, "sqlite:"+filepath.Join(folder, "g.db"))
	if _, err := s.MakeIdentity(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 3 { // with its log and the log's index
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
}

func TestAReaderMakesNoStore(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "new", "g.db")
	for range 2 {
		s, err := store.OpenExisting(t.Context(), "sqlite:"+path)
		if !errors.Is(err, pipeline.ErrNoStore) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, %v", s, err)
		}
		if files, err := os.ReadDir(folder); err != nil || len(files) > 0 {
			t.Errorf("%v, %v", files, err)
		}
	}
	open(t, "sqlite:"+path)
	s, err := store.OpenExisting(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
