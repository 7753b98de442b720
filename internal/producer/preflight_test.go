package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestAPreflightCountsTheDataset(t *testing.T) {
	s := spec()
	s.Samples = 3
	lines := []string{`{"question":"a?"}`, `{"question":"bb?","x":1}`}
	var seen []int
	found, err := RunPreflight(t.Context(), "r", s, rowsOf("train.jsonl", lines...), func(rows int) { seen = append(seen, rows) })
	if err != nil {
		t.Fatal(err)
	}
	// The digest is sha256sum's of these two lines.
	s.Dataset = pipeline.DatasetID{Name: "train.jsonl", Digest: "6630ad2a2ba78b406a561ed4f6c7913bfe6073f129daab3a4435568b68b760d4"}
	want := Preflight{
		Run:      pipeline.Run{Name: "r", Spec: s, Items: 2, Generations: 6, LongestPrompt: len("bb?")},
		Messages: pipeline.User("a?"), RowBytes: len(lines[0]) + len(lines[1]),
		EarlierDigest: s.Dataset.Digest,
	}
	if found.Dataset.Name != "train.jsonl" || found.Dataset.Open == nil {
		t.Errorf("it has lost its dataset: %+v", found.Dataset)
	}
	if l := found.Lengths; l.Quantile(0.5) != 2 || l.Max() != 3 || l.File != "train.jsonl" || l.Line != 4 {
		t.Errorf("the lengths are %+v", l)
	}
	found.Dataset, found.Lengths = Dataset{}, Lengths{} // functions cannot be compared
	if diff := cmp.Diff(want, found, cmp.AllowUnexported(pipeline.BadRows{}, Lengths{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 2}, seen); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

// All roles count: the whole of a request has to fit into a context. A load that goes on, and one
// that finds the run there, keep the number.
func TestTheLongestRequestIsKeptWithTheRun(t *testing.T) {
	s := spec()
	s.System = "Be brief."
	found := preflight(t, s, rowsOf("train.jsonl", `{"question":"a?"}`, `{"question":"longer?"}`, `{"question":"b"}`))
	store := newStore()
	for range 2 {
		run, _, err := Load(t.Context(), store, found, "uid", nil)
		if want := len("Be brief.longer?"); err != nil || run.LongestPrompt != want || store.run.LongestPrompt != want {
			t.Errorf("%v: the longest prompt has %d bytes, stored are %d, want %d", err, run.LongestPrompt, store.run.LongestPrompt, want)
		}
		found.Run.LongestPrompt = 0
	}
}

func TestTheDigestIsOfTheRowsThatAreTaken(t *testing.T) {
	digest := func(name string, limit int, lines ...string) string {
		data := rowsOf(name, lines...)
		data.Limit = limit
		return preflight(t, spec(), data).Run.Spec.Dataset.Digest
	}
	rows := numbered(5)
	all := digest("a.jsonl", 0, rows...)
	if digest("other/b.jsonl.gz", 0, rows...) != all {
		t.Error("it depends on the name of the file")
	}
	if digest("a.jsonl", 5, rows...) != all || digest("a.jsonl", 9, rows...) != all {
		t.Error("it depends on a limit that leaves nothing out")
	}
	if digest("a.jsonl", 3, rows...) != digest("a.jsonl", 0, rows[:3]...) {
		t.Error("it is not of the rows that are taken")
	}
	for name, other := range map[string][]string{
		"one row less": rows[:4], "another order": {rows[1], rows[0], rows[2], rows[3], rows[4]}, "another row": append(rows[:4:4], `{"question":"x"}`),
	} {
		if digest("a.jsonl", 0, other...) == all {
			t.Errorf("%s: the same digest", name)
		}
	}
}

func TestALimitTakesTheFirstRows(t *testing.T) {
	data := rowsOf("a.jsonl", numbered(5)...)
	data.Limit = 2
	if found := preflight(t, spec(), data); found.Run.Items != 2 {
		t.Errorf("%d items, want 2", found.Run.Items)
	}
	bad := rowsOf("a.jsonl", `{"question":"a?"}`, `{"other":1}`)
	bad.Limit = 1
	preflight(t, spec(), bad) // what is not taken is not read
}

func TestABadRowIsNamedBeforeAnythingIsWritten(t *testing.T) {
	long := strings.Repeat("x", pipeline.MaxPromptBytes+1)
	for row, want := range map[string]string{
		`{"answer":"a","id":1}`:       `a.jsonl, line 4: there is no column "question"; the row's columns are answer, id`,
		`{"question":""}`:             "a.jsonl, line 4: the prompt is empty",
		`{"question":"` + long + `"}`: "a.jsonl, line 4: the prompt has 131073 bytes, the limit is 131072",
		`{"question":["a"],"id":"x"}`: `a.jsonl, line 4: column "question" is a list of 1, not text`,
	} {
		_, err := RunPreflight(t.Context(), "r", spec(), rowsOf("a.jsonl", `{"question":"a?"}`, row, `{"question":"b?"}`), nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %s", row, err, want)
		}
	}
}

func TestWhatCannotBeExaminedIsExplained(t *testing.T) {
	broken := func(rows Rows, err error) Dataset {
		return Dataset{Name: "a.jsonl", Open: func() (Rows, error) { return rows, err }}
	}
	for _, c := range []struct {
		name   string
		run    string
		change func(*pipeline.Spec)
		data   Dataset
		want   string
	}{
		{"an empty dataset", "r", nil, rowsOf("a.jsonl"), "dataset a.jsonl has no rows"},
		{"a name that is not allowed", "R!", nil, rowsOf("a.jsonl", numbered(1)...), `run: "R!" is not allowed`},
		{"a spec that is not valid", "r", func(s *pipeline.Spec) { s.Samples = 0 }, rowsOf("a.jsonl", numbered(1)...), "samples: 0 is not in 1..1000"},
		{"a template that is not one", "r", func(s *pipeline.Spec) { s.Field, s.Prompt = "", "{{" }, rowsOf("a.jsonl", numbered(1)...), "prompt: "},
		{"a file that is not there", "r", nil, broken(nil, errors.New("open a.jsonl: no such file")), "open a.jsonl: no such file"},
		{"a file that breaks off", "r", nil, broken(&brokenRows{}, nil), "a.jsonl, line 7: unexpected end"},
		{"a file that cannot be closed", "r", nil, broken(&fakeRows{lines: numbered(1), closed: errors.New("checksum")}, nil), "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := spec()
			if c.change != nil {
				c.change(&s)
			}
			_, err := RunPreflight(t.Context(), c.run, s, c.data, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := RunPreflight(ctx, "r", spec(), rowsOf("a.jsonl", numbered(9)...), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

type brokenRows struct{ fakeRows }

func (*brokenRows) Next() ([]byte, error) { return nil, fmt.Errorf("a.jsonl, line 7: unexpected end") }
