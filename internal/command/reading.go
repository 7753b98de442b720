package command

import (
	"fmt"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/producer"
	"gleaner/internal/view"
)

// reading is a dataset that is being read.
type reading interface {
	producer.Rows
	Progress() (done, total int64)
	Notes() dataset.Notes
}

// remember returns a function that opens the rows, and keeps them for what is said of them.
func (in *input) remember(open func() (reading, error)) func() (producer.Rows, error) {
	return func() (producer.Rows, error) {
		rows, err := open()
		if err != nil {
			return nil, err
		}
		in.rows, in.began = rows, time.Now()
		return rows, nil
	}
}

// watch returns a function that shows how far the dataset is read. Doing says what that is for.
func (in *input) watch(progress *view.Progress, doing string) func(rows int) {
	return func(rows int) {
		if !progress.Due() {
			return
		}
		if in.rows == nil {
			progress.Show(fmt.Sprintf("%s %s: %s", doing, in.Name, view.Plural(rows, "row", "rows")))
			return
		}
		done, total := in.rows.Progress()
		progress.Show(view.Reading(doing+" "+in.Name, rows, done, total, time.Since(in.began)))
	}
}

// watched returns the rows of a dataset, with a function that is called with how many were read.
func watched(data producer.Dataset, watch func(rows int)) producer.Dataset {
	open := data.Open
	data.Open = func() (producer.Rows, error) {
		rows, err := open()
		return &watchedRows{Rows: rows, watch: watch}, err
	}
	return data
}

// watchedRows count what is read of them.
type watchedRows struct {
	producer.Rows
	watch func(rows int)
	read  int
}

// Next returns the next row.
func (w *watchedRows) Next() ([]byte, error) {
	row, err := w.Rows.Next()
	if err == nil {
		w.read++
		w.watch(w.read)
	}
	return row, err
}

// nulled returns how many numbers were read as null.
func (in *input) nulled() int { return in.rows.Notes().Nulled }

// failed returns the error with which reading ended, after what may explain it.
func (in *input) failed(t *cli.Terminal, err error) error {
	if in.rows != nil {
		notes(t, in.rows.Notes().Hints)
	}
	return err
}

// notes says what people should know of the rows that were read.
func (in *input) notes() (notes []string) {
	if in.rows == nil {
		return nil
	}
	note := func(n int, one, many, rest string) {
		if n > 0 {
			notes = append(notes, view.Plural(n, one, many)+" "+rest)
		}
	}
	found := in.rows.Notes()
	note(found.Nulled, "number is NaN or Infinity, which JSON does not have, and is", "numbers are NaN or Infinity, which JSON does not have, and are", "read as null")
	note(found.HalfCharacters, "row has", "rows have", `half of a character (an escape such as \ud83d alone), which is written as U+FFFD at the end`)
	notes = append(notes, found.Hints...)
	selected, ok := in.rows.(*dataset.SelectedReader)
	if !ok {
		return notes
	}
	chosen := selected.Chosen()
	note(chosen.Refused, "row is", "rows are", "not taken: --input-where is false")
	note(chosen.Undecided, "row is", "rows are", "not taken: --input-where cannot be evaluated, first in "+chosen.First)
	note(chosen.Emptied, "row is", "rows are", "not taken: the list to explode is empty")
	return notes
}
