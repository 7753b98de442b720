package local

import (
	"path/filepath"
	"testing"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// No answer waits for the others of a batch where a message costs nothing, and a run that
// an earlier version began goes on as it was cut.
func TestANewRunHasSmallBatchesAndOneThatIsThereKeepsItsOwn(t *testing.T) {
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	there := pipeline.Run{Name: "there", UID: "01J", State: pipeline.RunOpen, CreatedAt: time.Now(), Spec: pipeline.Spec{Model: "m", Field: "q", Samples: 1, Batch: 8}}
	if _, _, err := s.CreateRun(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		run         string
		free        bool
		generations int
		want        int
	}{
		{"new", true, 20, 1}, {"new", true, 150_000, 1}, {"new", true, batchesOfOne - 1, 1}, {"new", true, 3 * batchesOfOne, 4}, {"new", true, 50_000_000, 8},
		{"new", false, 20, 3}, {"there", true, 20, 8},
	} {
		m := &machine{cfg: Config{FreeBatch: c.free}, store: s}
		run := pipeline.Run{Name: c.run, Generations: c.generations, Spec: pipeline.Spec{Batch: 3}}
		if err := m.setBatch(t.Context(), &run); err != nil || run.Spec.Batch != c.want {
			t.Errorf("%+v: batches of %d, %v", c, run.Spec.Batch, err)
		}
	}
}
