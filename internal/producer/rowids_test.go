package producer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

func withIDs(ids ...string) Dataset {
	lines := make([]string, len(ids))
	for i, id := range ids {
		lines[i] = fmt.Sprintf(`{"question":"%d?","meta":{"id":%s}}`, i, id)
	}
	return rowsOf("a.jsonl", lines...)
}

func idSpec() pipeline.Spec {
	s := spec()
	s.ID = "meta.id"
	return s
}

func TestRowsWithoutAnIDOfTheirOwnAreBadOnes(t *testing.T) {
	data := withIDs(`"a"`, `"b"`, `"a"`, `null`, `5`, `"5"`, `"a"`)
	_, err := RunPreflight(t.Context(), "r", idSpec(), data, nil)
	var refused *BadRowsError
	if !errors.As(err, &refused) || refused.Bad.Total() != 4 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"4 of 7 rows", "3 with the id of an earlier row", `a.jsonl, line 6: its id is "a", which an earlier row has, too`, `line 12: its id is "5"`,
		"1 without an id of its own", `a.jsonl, line 8: column "meta.id" is null`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q:\n%v", want, err)
		}
	}
	data.SkipBad = true
	found := preflight(t, idSpec(), data)
	store := newStore()
	run, _, err := Load(t.Context(), store, found, "uid", nil)
	if err != nil || run.Items != 3 || len(store.items) != 3 || run.Spec.ID != "meta.id" || run.Spec.Dataset.Skipped != 4 {
		t.Errorf("%+v, %d items: %v", run, len(store.items), err)
	}
}

func TestAnIDThatNoRowHasIsAMistakeInTheFlag(t *testing.T) {
	_, err := RunPreflight(t.Context(), "r", idSpec(), rowsOf("a.jsonl", numbered(3)...), nil)
	var wrong *pipeline.SpecError
	if !errors.As(err, &wrong) || wrong.Field != "id" || !strings.Contains(err.Error(), `no row has a column "meta.id": the columns are n, question`) {
		t.Errorf("got %v", err)
	}
}

func TestASetOfHashesIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var set hashSet
		there := map[uint64]bool{}
		hashes := rapid.SliceOf(rapid.OneOf(rapid.Uint64Min(1), rapid.Uint64Range(1, 40), rapid.Just(^uint64(0)))).Draw(t, "hashes")
		for _, hash := range hashes {
			if added := set.add(hash); added == there[hash] {
				t.Fatalf("%x was there: %v, added: %v", hash, there[hash], added)
			}
			there[hash] = true
		}
	})
	var set hashSet
	for n := range uint64(200_000) {
		if hash := (n + 1) * 0x9e3779b97f4a7c15; !set.add(hash) || set.add(hash) {
			t.Fatalf("%d", n)
		}
	}
}
