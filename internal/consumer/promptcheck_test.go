package consumer

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// words counts the words of a request's prompt, which a model takes for tokens.
func countWords(r pipeline.Request) int {
	n := 0
	for _, m := range r.Messages {
		n += len(strings.Fields(m.Content))
	}
	return n
}

func isPair(r pipeline.Request) bool { return r.Options.NumPredict == 1 && !isCanary(r) }

func TestAServerThatCutsPromptsIsHeld(t *testing.T) {
	const limit = 100
	long := strings.Repeat("some_words ", 1000)
	for _, c := range []struct {
		name   string
		count  func(n int, pair bool) (int, error)
		stored map[int]bool // by batch
		says   string
		pairs  int
	}{
		{"it cuts", func(n int, _ bool) (int, error) { return min(n, limit), nil },
			map[int]bool{1: true}, "held: this server cuts prompts at 100 tokens, without a word: update it, or give it a larger context (OLLAMA_CONTEXT_LENGTH, --context)", 2},
		{"it counts without its cache", func(n int, pair bool) (int, error) {
			if pair {
				return n, nil
			}
			return min(n, 7), nil
		}, map[int]bool{1: true, 2: true, 3: true, 4: true}, "serving", 2},
		{"it refuses longer ones", func(n int, pair bool) (int, error) {
			if pair {
				return 0, pipeline.Fail(pipeline.BadItem, "%w", &pipeline.ContextError{Err: context.Canceled})
			}
			return min(n, 7), nil
		}, map[int]bool{1: true, 2: true, 3: true, 4: true}, "serving", 1},
		{"it does not count", func(int, bool) (int, error) { return 0, nil }, map[int]bool{1: true, 2: true, 3: true, 4: true}, "serving", 0},
		{"it counts well", func(n int, _ bool) (int, error) { return n, nil }, map[int]bool{1: true, 2: true, 3: true, 4: true}, "serving", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
					completion, err := after(ctx, time.Second)
					if err != nil {
						return completion, err
					}
					var failure error
					if completion.PromptTokens, failure = c.count(countWords(r), isPair(r)); failure != nil {
						return pipeline.Completion{}, failure
					}
					if isPair(r) {
						return completion, pipeline.Fail(pipeline.Truncated, "cut at its length")
					}
					return completion, nil
				}}
				w.add(1, 1, "short")
				w.add(2, 1, long)
				w.add(3, 1, "short", long)
				w.add(4, 1, long)
				r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 1})
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if said := r.stateOf(0); said != c.says {
					t.Errorf("it says %q, want %q", said, c.says)
				}
				stored := map[int]bool{}
				for _, e := range w.only("publish") {
					stored[e.batch] = true
				}
				if diff := cmp.Diff(c.stored, stored); diff != "" {
					t.Errorf("stored batches (-want +got):\n%s", diff)
				}
				pairs := 0
				for _, request := range m.asked() {
					if isPair(request) {
						pairs++
					}
				}
				if pairs != c.pairs {
					t.Errorf("%d prompts were sent to find out, want %d", pairs, c.pairs)
				}
				if n := len(w.only("dead")); n != 0 {
					t.Errorf("%d dead letters: the rows are not the reason", n)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAServerThatCutsPromptsNoMoreIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		mended := w.begin.Add(5 * time.Minute)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			completion, err := after(ctx, time.Second)
			if completion.PromptTokens = countWords(r); time.Now().Before(mended) {
				completion.PromptTokens = min(completion.PromptTokens, 100)
			}
			return completion, err
		}}
		w.again = func(batch int) { w.add(batch, 2, strings.Repeat("some_words ", 1000)) }
		w.again(1)
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(15 * time.Minute)
		if acks := len(w.only("ack")); acks != 1 || r.stateOf(0) != "serving" {
			t.Errorf("%d batches are done, it says %q", acks, r.stateOf(0))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// The two prompts have to be longer than the count, of different length, and new each time.
func TestThePromptsOfACheckAreLongEnoughAndNew(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text := randomWords(50)
		if n := len(strings.Fields(text)); n != 50 || seen[text[:20]] {
			t.Fatalf("%d words: %q", n, text)
		}
		seen[text[:20]] = true
	}
}
