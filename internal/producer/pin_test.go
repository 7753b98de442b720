package producer

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// A pinWorld is a store and streams with one run.
type pinWorld struct {
	run     pipeline.Run
	stored  []pipeline.DigestCount
	info    pipeline.RunInfo
	away    error             // of the streams
	between func(*pinWorld)   // called before the first change of a pin, once
	told    []map[string]bool // digests of each call of EnsureRun
}

func (w *pinWorld) Run(context.Context, string) (pipeline.Run, error) { return w.run, nil }

func (w *pinWorld) Pin(_ context.Context, _ string, engine pipeline.EngineName, from, to string) (string, error) {
	if between := w.between; between != nil {
		w.between = nil
		between(w)
	}
	if is := w.run.Pins[engine]; is != from {
		return is, nil
	}
	pins := map[pipeline.EngineName]string{engine: to}
	for other, digest := range w.run.Pins {
		if other != engine {
			pins[other] = digest
		}
	}
	w.run.Pins = pins
	return to, nil
}

func (w *pinWorld) Digests(context.Context, string) ([]pipeline.DigestCount, error) {
	return w.stored, nil
}

func (w *pinWorld) RunInfo(context.Context, string) (pipeline.RunInfo, error) { return w.info, w.away }

func (w *pinWorld) EnsureRun(_ context.Context, run pipeline.Run) error {
	told := map[string]bool{}
	for _, digest := range run.Pins {
		told[digest] = true
	}
	w.told = append(w.told, told)
	return nil
}

func newPinWorld(pins map[pipeline.EngineName]string) *pinWorld {
	return &pinWorld{run: pipeline.Run{Name: "r", State: pipeline.RunOpen, Pins: pins}, info: pipeline.RunInfo{Run: "r"}}
}

func TestAPinReplacesWhatIsThereAndIsToldAtOnce(t *testing.T) {
	stored := []pipeline.DigestCount{{Engine: "ollama", Digest: "a", Answers: 5}, {Answers: 2}, {Engine: "ollama", Digest: "b", Answers: 1}}
	for name, pins := range map[string]map[pipeline.EngineName]string{"": nil, "a": {"ollama": "a", "unsaid": "a"}, "x": {"ollama": "x"}, "any": {"ollama": "any"}} {
		w := newPinWorld(pins)
		w.stored = stored
		report, err := PinRun(t.Context(), w, w, "r", "b")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(PinReport{Run: "r", Before: name, Now: "b", Stored: stored}, report); diff != "" {
			t.Errorf("pinned to %q before (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(map[pipeline.EngineName]string{"ollama": "b", "unsaid": "b"}, w.run.Pins); diff != "" {
			t.Errorf("pinned to %q before (-want +got):\n%s", name, diff)
		}
		if report.Others() != 7 || len(w.told) != 1 || !w.told[0]["b"] || len(w.told[0]) != 1 {
			t.Errorf("pinned to %q before: %d others, told %v", name, report.Others(), w.told)
		}
	}
}

// A sink that pins the run at the same moment does not win over a person.
func TestAPinWinsOverASinkOfTheSameMoment(t *testing.T) {
	w := newPinWorld(nil)
	w.between = func(w *pinWorld) { w.run.Pins = map[pipeline.EngineName]string{"ollama": "a"} }
	if _, err := PinRun(t.Context(), w, nil, "r", pipeline.PinAny); err != nil || w.run.Pins["ollama"] != pipeline.PinAny {
		t.Errorf("%v: %v", err, w.run.Pins)
	}
}

func TestWhoIsToldOfAPin(t *testing.T) {
	complete := newPinWorld(nil)
	complete.info.Complete = true
	unpublished := newPinWorld(nil)
	unpublished.away = pipeline.ErrNoRun
	away := newPinWorld(nil)
	away.away = errAway
	for _, c := range []struct {
		w      *pinWorld
		untold string
	}{{complete, ""}, {unpublished, ""}, {away, errAway.Error()}} {
		report, err := PinRun(t.Context(), c.w, c.w, "r", "b")
		if err != nil || report.Untold != c.untold || len(c.w.told) != 0 {
			t.Errorf("%v: untold %q, told %v", err, report.Untold, c.w.told)
		}
	}
}

func TestOnlyAnOpenRunIsPinned(t *testing.T) {
	for _, state := range []pipeline.RunState{pipeline.RunLoading, pipeline.RunCancelled, pipeline.RunDeleting} {
		w := newPinWorld(nil)
		w.run.State = state
		if _, err := PinRun(t.Context(), w, w, "r", "b"); err == nil || !strings.Contains(err.Error(), string(state)) || w.run.Pins != nil {
			t.Errorf("%s: %v", state, err)
		}
	}
}
