package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/outage"
)

// Each enters a second after the one before it and stays for ten seconds.
func TestALimiterAdmitsInTheOrderOfArrival(t *testing.T) {
	for name, c := range map[string]struct {
		limit int
		alone string // of those that come, which are alone
		grow  bool   // to three, after five seconds
		want  string // when each is admitted, in seconds
	}{
		"one at a time":               {1, "", false, "0 10 20 30"},
		"two at a time":               {2, "", false, "0 1 10 11"},
		"more, while they wait":       {1, "", true, "0 5 5 10"},
		"the third one alone":         {4, "c", false, "0 1 11 21"},
		"two alone":                   {4, "bc", false, "0 10 20 30"},
		"the first one alone":         {4, "a", false, "0 10 10 10"},
		"all alone, with room":        {4, "abcd", false, "0 10 20 30"},
		"the last one alone, no room": {2, "d", false, "0 1 10 20"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, l := time.Now(), &limiter{limit: c.limit}
				admitted := make([]string, 4)
				for i, who := range "abcd" {
					go func() {
						outage.Sleep(t.Context(), time.Duration(i)*time.Second)
						acquire := l.Acquire
						if strings.ContainsRune(c.alone, who) {
							acquire = l.AcquireAlone
						}
						if err := acquire(t.Context()); err != nil {
							t.Error(err)
						}
						admitted[i] = fmt.Sprint(time.Since(began).Seconds())
						outage.Sleep(t.Context(), 10*time.Second)
						l.Release()
					}()
				}
				if c.grow {
					time.Sleep(5 * time.Second)
					l.SetLimit(3)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if diff := cmp.Diff(c.want, strings.Join(admitted, " ")); diff != "" {
					t.Errorf("admitted after seconds (-want +got):\n%s", diff)
				}
				if inUse, _ := l.InUse(); inUse != 0 || len(l.queue) != 0 {
					t.Errorf("%d are in use at the end, %d wait", inUse, len(l.queue))
				}
			})
		})
	}
}

func TestAStopEndsTheWaitToBeAlone(t *testing.T) {
	l := &limiter{limit: 2}
	ctx, cancel := context.WithCancel(t.Context())
	if err := l.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 3 {
		if err := l.AcquireAlone(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if inUse, _ := l.InUse(); inUse != 1 || len(l.queue) != 0 {
		t.Errorf("%d slots are in use, %d wait for one", inUse, len(l.queue))
	}
	l.Release()
	if err := l.AcquireAlone(t.Context()); err != nil || !l.exclusive {
		t.Errorf("alone: %t, %v", l.exclusive, err)
	}
}
