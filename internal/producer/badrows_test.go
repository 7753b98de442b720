package producer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// withBad makes a dataset of ten rows of which three cannot be used.
func withBad() Dataset {
	lines := numbered(10)
	lines[2], lines[5], lines[8] = `{"question":""}`, `{"other":1}`, `{"question":" "}`
	return rowsOf("a.jsonl", lines...)
}

func TestAllBadRowsAreNamedAtOnceAndRefused(t *testing.T) {
	_, err := RunPreflight(t.Context(), "r", spec(), withBad(), nil)
	var refused *BadRowsError
	if !errors.As(err, &refused) || refused.Bad.Total() != 3 || refused.Rows != 10 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"3 of 10 rows cannot be used, and nothing was written", "--skip-bad", "2 empty", "a.jsonl, line 6: the prompt is empty",
		"1 without a prompt", `a.jsonl, line 12: there is no column "question"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q:\n%v", want, err)
		}
	}
}

func TestWhereNoRowCanBeUsedLeavingThemOutIsNoAdvice(t *testing.T) {
	for text, want := range map[string]string{"{{ questoin }}": "mend the prompt", "{{ question }}": "mend the file"} {
		asked := spec()
		asked.Field, asked.Prompt, asked.Language = "", text, pipeline.Jinja
		data := rowsOf("a.jsonl", `{"question":""}`, `{"question":" "}`)
		if _, err := RunPreflight(t.Context(), "r", asked, data, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "--skip-bad") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestBadRowsThatAreSkippedAreCountedAndHandedOver(t *testing.T) {
	data := withBad()
	data.SkipBad = true
	var bad []string
	data.Bad = func(e *pipeline.RowError) error {
		bad = append(bad, fmt.Sprintf("%d %s %s", e.Line, e.Kind, e.Row))
		return nil
	}
	found := preflight(t, spec(), data)
	if found.Run.Items != 7 || found.Bad.Total() != 3 || found.Run.Spec.Dataset.Skipped != 3 || bad != nil {
		t.Fatalf("%d items, %d bad, %d skipped, %q written", found.Run.Items, found.Bad.Total(), found.Run.Spec.Dataset.Skipped, bad)
	}
	store := newStore()
	run, _, err := Load(t.Context(), store, found, "uid", nil)
	if err != nil || run.Items != 7 || len(store.items) != 7 || run.Spec.Dataset.Skipped != 3 {
		t.Fatalf("%+v, %d items: %v", run, len(store.items), err)
	}
	if diff := cmp.Diff([]string{`6 empty {"question":""}`, `12 without a prompt {"other":1}`, `18 empty {"question":" "}`}, bad); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	without := rowsOf("a.jsonl", append(append(numbered(10)[:2:2], numbered(10)[3:5]...), append(numbered(10)[6:8:8], numbered(10)[9])...)...)
	if preflight(t, spec(), without).Run.Spec.Dataset.Digest != found.Run.Spec.Dataset.Digest {
		t.Error("the digest is not of the rows that were taken")
	}
}

func TestADatasetOfBadRowsAloneIsRefused(t *testing.T) {
	data := rowsOf("a.jsonl", `{"question":""}`, `{"question":""}`)
	data.SkipBad = true
	if _, err := RunPreflight(t.Context(), "r", spec(), data, nil); err == nil || !strings.Contains(err.Error(), "no row that can be used:\n2 empty") {
		t.Errorf("got %v", err)
	}
}

func TestALimitCountsTheRowsThatAreTaken(t *testing.T) {
	data := withBad()
	data.Limit, data.SkipBad = 4, true
	if found := preflight(t, spec(), data); found.Run.Items != 4 || found.Bad.Total() != 1 {
		t.Errorf("%d items and %d bad ones, want 4 and 1", found.Run.Items, found.Bad.Total())
	}
}

func TestDifferentRowsThatMakeOnePromptAreRefused(t *testing.T) {
	same := spec()
	same.Field, same.Prompt = "", "Tell a joke."
	for _, n := range []int{2, 5000} {
		data := rowsOf("a.jsonl", numbered(n)...)
		_, err := RunPreflight(t.Context(), "r", same, data, nil)
		if spec := new(pipeline.SpecError); !errors.As(err, &spec) || spec.Field != "prompt" || !strings.Contains(err.Error(), "--same-prompt") {
			t.Errorf("%d rows: got %v", n, err)
		}
		data.SamePrompt = true
		if found := preflight(t, same, data); found.Run.Items != n {
			t.Errorf("%d items, want %d", found.Run.Items, n)
		}
	}
	preflight(t, same, rowsOf("a.jsonl", numbered(1)...))
	equal := rowsOf("a.jsonl", `{"question":"a"}`, `{"question":"a"}`, `{"question":"a"}`) // of equal rows nothing else is expected
	same.Prompt = "{{.question}}"
	preflight(t, same, equal)
}

func TestFormsOfADatasetHaveOneDigest(t *testing.T) {
	without := func(dst, row []byte) []byte { return append(dst, bytes.ReplaceAll(row, []byte(" "), nil)...) }
	digests := func(lines ...string) Preflight {
		data := rowsOf("a", lines...)
		data.Canonical = without
		return preflight(t, spec(), data)
	}
	one, other := digests(`{"question":"a"}`, `{"question":"b"}`), digests(`{ "question": "a" }`, `{"question":"b" }`)
	if one.Run.Spec.Dataset.Digest != other.Run.Spec.Dataset.Digest || one.EarlierDigest == other.EarlierDigest {
		t.Errorf("%+v and %+v", one.Run.Spec.Dataset, other.Run.Spec.Dataset)
	}
	late := digests(`{"question":"a"}`, `{"question":"b" }`) // the digests part at the second row
	earlier := sha256.Sum256([]byte("{\"question\":\"a\"}\n{\"question\":\"b\" }\n"))
	if late.Run.Spec.Dataset.Digest != one.Run.Spec.Dataset.Digest || late.EarlierDigest != hex.EncodeToString(earlier[:]) {
		t.Errorf("%+v, earlier %s", late.Run.Spec.Dataset, late.EarlierDigest)
	}
}

// Earlier versions had a digest over the rows as they came.
func TestARunOfAnEarlierVersionIsFoundByItsDigest(t *testing.T) {
	store, lines := newStore(), []string{`{ "question": "a" }`, `{"question":"b" }`}
	data := rowsOf("a.jsonl", lines...)
	if _, _, err := Load(t.Context(), store, preflight(t, spec(), data), "uid", nil); err != nil {
		t.Fatal(err)
	}
	data.Canonical = func(dst, row []byte) []byte { return append(dst, bytes.ReplaceAll(row, []byte(" "), nil)...) }
	found := preflight(t, spec(), data)
	if found.EarlierDigest != store.run.Spec.Dataset.Digest || found.Run.Spec.Dataset.Digest == found.EarlierDigest {
		t.Fatalf("%s and %s, stored is %s", found.Run.Spec.Dataset.Digest, found.EarlierDigest, store.run.Spec.Dataset.Digest)
	}
	if run, wrote, err := Load(t.Context(), store, found, "other", nil); err != nil || wrote || run.UID != "uid" {
		t.Errorf("%+v, wrote %v: %v", run, wrote, err)
	}
	store.run.State = pipeline.RunLoading // as if it had been interrupted
	if _, wrote, err := Load(t.Context(), store, found, "other", nil); err != nil || !wrote {
		t.Errorf("wrote %v: %v", wrote, err)
	}
}
