package reconcile

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// losing returns a reconciler of a world with this many batches, and what it logs as errors.
func losing(t *testing.T, batches int) (lose func(index int, times int), errors func() []string, w *world) {
	sizes := make([]int, batches)
	for i := range sizes {
		sizes[i] = 1
	}
	m := &machine{world: newWorld(sizes...)}
	core, logs := observer.New(zap.ErrorLevel)
	l := m.engine(nil)
	l.log = zap.New(core)
	r := l.Reconciler(testRun)
	lose = func(index, times int) {
		m.mark(index)
		for range times {
			round := m.batches[index].Round
			for tries := 0; m.batches[index].Round == round; tries++ {
				delete(m.work, index)
				if _, err := r.Pass(t.Context()); err != nil || tries > 10 {
					t.Fatalf("after %d passes: %v", tries, err)
				}
				m.now = m.now.Add(3 * testLease)
			}
		}
	}
	return lose, func() (said []string) {
		for _, e := range logs.TakeAll() {
			said = append(said, e.Message)
		}
		return said
	}, m.world
}

func TestABatchThatIsLostForTheThirdTimeIsSaidOnceInTenMinutes(t *testing.T) {
	lose, said, w := losing(t, 1000)
	lose(7, 2)
	if got := said(); len(got) > 0 {
		t.Errorf("after two repairs: %q", got)
	}
	lose(7, 3)
	if got := said(); len(got) != 1 {
		t.Errorf("after five repairs: %q", got)
	}
	w.now = w.now.Add(alarmWithin)
	lose(7, 1)
	if got := said(); len(got) != 1 {
		t.Errorf("ten minutes later: %q", got)
	}
}

func TestManyRepairsWithinTenMinutesAreSaidOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		lost  int
		pause time.Duration
		want  int
	}{
		{"5 %", 5, 0, 0},
		{"more than that", 8, 0, 1},
		{"more than that, one after the other", 8, alarmWithin / 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			lose, said, w := losing(t, 100)
			for i := range c.lost {
				lose(i, 1)
				w.now = w.now.Add(c.pause)
			}
			if got := said(); len(got) != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
