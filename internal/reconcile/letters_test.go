package reconcile

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestFiltersChooseByWhatALetterSays(t *testing.T) {
	now := time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
	d := pipeline.DeadLetter{
		Run: "r", Batch: 3, Class: pipeline.Truncated, Message: "the answer was cut off", FailedAt: now.Add(-time.Hour),
		Failures: []pipeline.GenerationFailure{{Generation: pipeline.Generation{Item: 9}, Class: pipeline.Truncated, Message: "cut"}, {Class: pipeline.Poison, Message: "signal 11"}},
	}
	for name, c := range map[string]struct {
		filter Filter
		want   bool
	}{
		"all":                 {Filter{}, true},
		"its run":             {Filter{Run: "r"}, true},
		"another run":         {Filter{Run: "s"}, false},
		"its batch":           {Filter{Batches: []int{1, 3}}, true},
		"another batch":       {Filter{Batches: []int{1}}, false},
		"its row":             {Filter{Items: []int{5, 9}}, true},
		"another row":         {Filter{Items: []int{5}}, false},
		"class of a failure":  {Filter{Classes: []pipeline.Class{pipeline.Poison}}, true},
		"another class":       {Filter{Classes: []pipeline.Class{pipeline.BadItem}}, false},
		"pattern":             {Filter{Pattern: regexp.MustCompile("cut off")}, true},
		"of a failure":        {Filter{Pattern: regexp.MustCompile(`signal \d+`)}, true},
		"another pattern":     {Filter{Pattern: regexp.MustCompile(`^x`)}, false},
		"older than it is":    {Filter{OlderThan: 2 * time.Hour}, false},
		"older than a minute": {Filter{OlderThan: time.Minute}, true},
		"newer than a minute": {Filter{NewerThan: time.Minute}, false},
		"newer than a day":    {Filter{NewerThan: 24 * time.Hour}, true},
	} {
		if got := c.filter.match(d, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Scripts read "standing", the former name of the disposition.
func TestALettersDispositionHasItsFormerNameInJSONToo(t *testing.T) {
	data, err := json.Marshal(Letter{Disposition: UnderWay, StoredDeadLetter: pipeline.StoredDeadLetter{DeadLetter: pipeline.DeadLetter{Run: "r"}, Sequence: 7}})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"disposition": "under-way", "standing": "under-way", "run": "r", "sequence": 7.0} {
		if got[key] != want {
			t.Errorf("%q is %v, want %v, in %s", key, got[key], want, data)
		}
	}
	var letter Letter
	if err := json.Unmarshal(data, &letter); err != nil || letter.Disposition != UnderWay || letter.Sequence != 7 {
		t.Errorf("it is read as %+v, %v", letter, err)
	}
}

func TestLettersSayWhatTheyAreWorth(t *testing.T) {
	m := failed(letterPage + 5)
	m.batches[1].Done, m.batches[1].State = []int{0}, pipeline.Done
	m.batches[2].State, m.batches[2].Round = pipeline.Queued, 2
	m.batches[3].State = pipeline.Dropped
	d := m.dead[4]
	d.UID = "another load"
	m.dead[4] = d
	m.dead[5] = pipeline.StoredDeadLetter{DeadLetter: pipeline.DeadLetter{Run: testRun, Batch: 5}, Sequence: m.dead[5].Sequence}
	for orphaned, want := range map[bool]map[Disposition]int{
		false: {Stale: 1, UnderWay: 1, Dropped: 1, Waiting: letterPage},
		true:  {Orphaned: 1, Unreadable: 1},
	} {
		got, last, others := map[Disposition]int{}, uint64(0), 0
		for letter, err := range m.engine(nil).Letters(t.Context(), Filter{Run: testRun, Orphaned: orphaned, Others: &others}) {
			if err != nil || letter.Sequence <= last {
				t.Fatal(err, letter.Sequence)
			}
			last = letter.Sequence
			got[letter.Disposition]++
		}
		if diff := cmp.Diff(want, got); diff != "" || others != letterPage+5-total(want) {
			t.Errorf("orphaned %t, %d others (-want +got):\n%s", orphaned, others, diff)
		}
	}

	for orphaned, want := range map[bool]DropReport{
		false: {Chosen: letterPage + 3, Dropped: letterPage, Generations: letterPage, Removed: 2, Skipped: 1},
		true:  {Chosen: 2, Dropped: 1, Generations: 1, Removed: 1},
	} {
		var last DropReport
		report, err := m.engine(nil).Drop(t.Context(), Filter{Orphaned: orphaned}, DropOptions{Progress: func(r DropReport) { last = r }})
		if last != report {
			t.Errorf("the last progress is %+v, and the report %+v", last, report)
		}
		if diff := cmp.Diff(want, report); diff != "" || err != nil {
			t.Errorf("orphaned %t: %v, report (-want +got):\n%s", orphaned, err, diff)
		}
	}
	if len(m.dead) != 1 {
		t.Errorf("%d letters are left", len(m.dead))
	}
}

func total(counts map[Disposition]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}

// A dead batch without a letter would get another round, so the store comes first.
func TestADropThatIsKilledGivesNothingUpHalf(t *testing.T) {
	for n := range 6 {
		m := failed(1)
		calls := 0
		_, err := m.engine(func() fate {
			if calls++; calls > n {
				return die
			}
			return proceed
		}).Drop(t.Context(), Filter{}, DropOptions{})
		if _, found := m.dead[0]; m.batches[0].State == pipeline.Dead && !found {
			t.Errorf("killed at call %d (%v): the record is gone and the batch is not dropped", n, err)
		}
		if _, err := m.engine(nil).Drop(t.Context(), Filter{}, DropOptions{}); err != nil || m.batches[0].State != pipeline.Dropped || len(m.dead) > 0 {
			t.Errorf("killed at call %d: once more: %v, %s", n, err, m)
		}
	}
}

func TestASweepRemovesTheLettersOfDoneBatchesOnly(t *testing.T) {
	m := failed(3)
	m.batches[1].Done, m.batches[1].State = []int{0}, pipeline.Done
	swept, err := m.engine(nil).Sweep(t.Context(), testRun)
	if _, found := m.dead[1]; err != nil || swept != 1 || found || len(m.dead) != 2 {
		t.Errorf("%d swept, %v: %s", swept, err, m)
	}
}
