package storetest

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/store"
)

func identity(t *testing.T, s *suite) {
	f := s.prepare(t, 1, 1, 1)
	empty, err := store.IsEmpty(f.ctx, f.store)
	same(t, []any{empty, err}, []any{true, nil})
	before, err := f.store.Identity(f.ctx)
	f.ok(err)
	same(t, before.ID, "")

	f.ok(f.create()) // the first write
	who, err := f.store.Identity(f.ctx)
	f.ok(err)
	if len(who.ID) < 20 || who.Name == "" || who.Name != before.Name || strings.Contains(who.Name, "@") {
		t.Errorf("got %+v after %+v", who, before)
	}
	empty, err = store.IsEmpty(f.ctx, f.store)
	same(t, []any{empty, err}, []any{false, nil})

	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			again, err := f.store.MakeIdentity(f.ctx)
			if err == nil && again != who {
				t.Errorf("got %+v, and it was %+v", again, who)
			}
			return err
		})
	}
	f.ok(group.Wait())
}

func saysAbout(t *testing.T, s *suite) {
	about, err := s.store.About(t.Context())
	if err != nil || !regexp.MustCompile(`^(MongoDB|SQLite) \d+\.\d+`).MatchString(about.Server) || about.Bytes < 0 || about.HasFree && about.Free <= 0 {
		t.Errorf("it says %+v, %v", about, err)
	}
}

func mayWrite(t *testing.T, s *suite) {
	if err := s.store.MayWrite(t.Context()); err != nil {
		t.Error(err)
	}
	if empty, err := store.IsEmpty(t.Context(), s.store); err != nil || !empty {
		t.Errorf("it is empty: %v, %v", empty, err)
	}
}
