package ollamasim_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/ollamasim"
)

// halved is the speed of a GPU whose slots make ten tokens a second alone and five together.
func halved(busy int) float64 {
	if busy > 1 {
		return 5
	}
	return 10
}

func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if d := got - want; d < 0 || d > time.Millisecond {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

func TestAGenerationTakesAsLongAsItsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gpu, start := ollamasim.NewGPU(2, halved), time.Now()
		if err := gpu.Run(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
		near(t, "20 tokens", time.Since(start), 2*time.Second)
	})
}

func TestTheSpeedFollowsTheLoadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gpu, start := ollamasim.NewGPU(2, halved), time.Now()
		var all sync.WaitGroup
		var long, short time.Duration
		all.Go(func() { _ = gpu.Run(t.Context(), 30); long = time.Since(start) })
		all.Go(func() {
			time.Sleep(time.Second) // in the bubble: by then the long one has made ten tokens
			_ = gpu.Run(t.Context(), 10)
			short = time.Since(start)
		})
		all.Wait()
		near(t, "the short one, at half the speed", short, 3*time.Second)
		near(t, "the long one, alone before and after", long, 4*time.Second)
		near(t, "the use of both slots", gpu.SlotTime(), 6*time.Second)
	})
}

func TestWhoFindsNoSlotWaitsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gpu := ollamasim.NewGPU(1, halved)
		var order []int
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				slot, err := gpu.Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer slot.Release()
				order = append(order, i) // one at a time: there is one slot
				_ = slot.Wait(t.Context(), 1)
			})
			synctest.Wait() // until it has the slot or stands in the queue
		}
		if busy, waiting := gpu.Load(); busy != 1 || waiting != 4 {
			t.Errorf("%d busy, %d waiting", busy, waiting)
		}
		all.Wait()
		if d := cmp.Diff([]int{0, 1, 2, 3, 4}, order); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func TestWhoGivesUpLeavesTheQueueAndTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gpu := ollamasim.NewGPU(1, halved)
		cancelled, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		errs := make([]error, 3)
		for i, ctx := range []context.Context{cancelled, cancelled, t.Context()} { // generating, first in the queue, second
			all.Go(func() { errs[i] = gpu.Run(ctx, 10) })
			synctest.Wait()
		}
		start := time.Now()
		cancel()
		all.Wait()
		if !errors.Is(errs[0], context.Canceled) || !errors.Is(errs[1], context.Canceled) || errs[2] != nil {
			t.Errorf("the errors are %v", errs)
		}
		near(t, "the last one", time.Since(start), time.Second)
		if busy, waiting := gpu.Load(); busy != 0 || waiting != 0 {
			t.Errorf("%d busy, %d waiting", busy, waiting)
		}
	})
}

func TestClosingEndsAllWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gpu := ollamasim.NewGPU(1, halved)
		errs := make([]error, 3)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = gpu.Run(t.Context(), 1e6) })
		}
		synctest.Wait()
		gpu.Close()
		gpu.Close()
		all.Wait()
		for _, err := range append(errs, gpu.Run(t.Context(), 1)) {
			if !errors.Is(err, ollamasim.ErrClosed) {
				t.Errorf("the error is %v", err)
			}
		}
	})
}

func TestAnInfiniteSpeedTakesNoTimeButStillSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gpu, start := ollamasim.NewGPU(1, func(int) float64 { return math.Inf(1) }), time.Now()
		for range 100 {
			if err := gpu.Run(t.Context(), 1e9); err != nil {
				t.Fatal(err)
			}
		}
		near(t, "everything", time.Since(start), 0)
	})
}

// A day of a busy GPU: the slots are never idle while a request waits, so the whole takes as long
// as its tokens.
func TestNoSlotIsIdleWhileSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, each, tokens = 16, 50, 130
		gpu, start := ollamasim.NewGPU(slots, func(int) float64 { return 13 }), time.Now()
		var all sync.WaitGroup
		for range slots * each {
			all.Go(func() { _ = gpu.Run(t.Context(), tokens) })
		}
		all.Wait()
		took := time.Since(start)
		if want := each * 10 * time.Second; took < want || took > want+each*time.Millisecond {
			t.Errorf("it took %v, want %v", took, want)
		}
		if used := gpu.SlotTime(); used < slots*took*999/1000 || used > slots*took {
			t.Errorf("the slots were busy for %v of %v", used, slots*took)
		}
	})
}
