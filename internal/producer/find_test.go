package producer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// ownIDs is a loaded run of 600 rows whose ids are q0, q1, …
func ownIDs(t *testing.T) (*fakeStore, pipeline.Run) {
	t.Helper()
	ids := make([]string, 600)
	for i := range ids {
		ids[i] = fmt.Sprintf(`"q%d"`, i)
	}
	store := newStore()
	run, _, err := Load(t.Context(), store, preflight(t, idSpec(), withIDs(ids...)), "uid", nil)
	if err != nil {
		t.Fatal(err)
	}
	store.reads = nil
	return store, run
}

func TestRowsAreFoundByTheUsersIDOrByGleaners(t *testing.T) {
	store, run := ownIDs(t)
	found, err := FindItems(t.Context(), store, run, []string{"q300", "r/000000005", "q0", "r/000000007.002", "q300"}, nil)
	if diff := cmp.Diff([]int{300, 5, 0, 7, 300}, found); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	run.Spec.ID = ""
	if found, err := FindItems(t.Context(), store, run, []string{"r/000000005"}, nil); err != nil || len(found) != 1 || found[0] != 5 {
		t.Errorf("without a column: %v, %v", found, err)
	}
}

func TestTheSearchEndsWithTheLastRowThatIsWanted(t *testing.T) {
	store, run := ownIDs(t)
	var seen []int
	if _, err := FindItems(t.Context(), store, run, []string{"q1", "q2"}, func(rows int) { seen = append(seen, rows) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{MostItems}, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARowThatIsNotThereIsAnError(t *testing.T) {
	store, run := ownIDs(t)
	for name, want := range map[string]string{
		"q600": `run r has no row "q600": its rows are known by column "meta.id"`, "x/000000001": "has no row", "r/000000600": "such as r/000000000",
	} {
		if _, err := FindItems(t.Context(), store, run, []string{"q1", name}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	run.Spec.ID = ""
	if _, err := FindItems(t.Context(), store, run, []string{"q1"}, nil); err == nil || !strings.Contains(err.Error(), "without --id") {
		t.Errorf("got %v", err)
	}
}

func TestFailuresAreKnownByTheUsersIDs(t *testing.T) {
	store, run := ownIDs(t)
	var failures []pipeline.GenerationFailure
	for _, item := range []int{41, 40, 40, 47, 500, 700} {
		failures = append(failures, pipeline.GenerationFailure{Generation: pipeline.Generation{Item: item}})
	}
	ids, err := RowIDs(t.Context(), store, run, failures)
	if diff := cmp.Diff(map[int]string{40: "q40", 41: "q41", 47: "q47", 500: "q500", 700: ""}, ids); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	run.Spec.ID = ""
	if ids, err := RowIDs(t.Context(), store, run, failures); ids != nil || err != nil {
		t.Errorf("without a column: %v, %v", ids, err)
	}
}
