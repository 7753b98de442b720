package export

import (
	"fmt"
	"io"
	"slices"

	"gleaner/internal/pipeline"
)

// A Tally counts what an export wrote.
type Tally struct {
	Lines   int            `json:"lines"`
	Missing int            `json:"missing"`           // generations without an answer
	Failed  int            `json:"failed"`            // of these, those that were written with why they have none
	LeftOut int            `json:"left_out"`          // of these, those that were not written
	Skipped int            `json:"skipped,omitempty"` // rows of the dataset that were left out when it was loaded
	Classes map[string]int `json:"classes,omitempty"` // why generations have none, where it is known
	Files   int            `json:"files"`             // 0: to standard output, a pipe or a device
	Notes   []string       `json:"notes,omitempty"`   // in words: what a reader of the files should know
}

// An Exporter writes the answers of a run, in the order in which they come. Nothing appears under
// its name until Commit, and everything is complete then. An Exporter belongs to one goroutine.
type Exporter struct {
	config  Config
	format  format
	run     pipeline.Run
	encoder *Encoder
	tally   Tally

	file   *target // one of the two
	folder *folderTarget
	packed *packer // nil for Parquet, which is not packed
	out    output

	line    []byte
	item    []pipeline.Answer      // layout openai-batch: the answers of the present item
	leading int                    // lines in front of the first one that has an answer
	engines map[string]int         // answers by engine and digest, but for the last ones
	last    *pipeline.StoredResult // the first of these, which are of one engine and digest
	alike   int                    // how many these are
	err     error                  // the first failure; nothing is written after it
	done    bool                   // after Commit or Abort
}

// New begins an export of a run. It checks the settings as Check does. The names are those that
// Settle returned, and the renderer is the one that made the requests of the run.
func New(run pipeline.Run, c Config, n Names, r MessageRenderer) (*Exporter, error) {
	c, err := c.For(run.Spec)
	if err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if err := Check(c); err != nil {
		return nil, err
	}
	if err := c.checkRun(run); err != nil {
		return nil, err
	}
	x := &Exporter{config: c, run: run, engines: map[string]int{}}
	x.tally.Skipped = run.Spec.Dataset.Skipped
	if x.format, err = formatOf(c.Out); err != nil {
		return nil, err
	}
	if x.encoder, err = NewEncoder(run, c, n, r); err != nil {
		return nil, err
	}
	if err := x.open(); err != nil {
		x.Abort()
		return nil, err
	}
	return x, nil
}

// open begins the files.
func (x *Exporter) open() (err error) {
	if x.format.kind == formatFolder {
		if x.folder, err = openFolder(x.config, x.run.Name); err != nil {
			return err
		}
		return x.openColumnar(x.folder.path, x.folder.next, shardBytes-shardMargin)
	}
	if x.file, err = openTarget(x.config, x.run.Name); err != nil {
		return err
	}
	if x.format.kind == formatParquet {
		return x.openColumnar(x.file.dir(), func() (io.Writer, error) {
			x.packed, err = newPacker(x.file, "")
			return x.packed, err
		}, 0)
	}
	if x.packed, err = newPacker(x.file, x.format.packing); err != nil {
		return fmt.Errorf("output %s: %w", x.config.Out, err)
	}
	switch x.format.kind {
	case formatArray:
		x.out = &arrayWriter{to: x.packed}
	case formatCSV:
		s, err := newSpool(x.config.Out, x.file.dir())
		if err != nil {
			return err
		}
		x.out = &tableWriter{to: x.packed, comma: x.format.comma, safe: x.config.CSVSafe, spool: s, answer: x.answer()}
	default:
		x.out = &lineWriter{to: x.packed}
	}
	return nil
}

func (x *Exporter) openColumnar(dir string, next func() (io.Writer, error), limit int64) error {
	s, err := newSpool(x.config.Out, dir)
	if err != nil {
		return err
	}
	x.out = &columnarWriter{next: next, limit: limit, spool: s, answer: x.answer()}
	return nil
}

// answer returns the name of the answer's column.
func (x *Exporter) answer() string { return x.encoder.names.of(answerColumn(x.config.Layout)) }

// Add writes an answer, or leaves it out and counts that. Answers of one item come one after
// another. After a failure every call returns that failure, and nothing is left on the disk.
func (x *Exporter) Add(a pipeline.Answer) error {
	switch {
	case x.err != nil:
		return x.err
	case x.done:
		return fmt.Errorf("output %s is closed already", x.config.Out)
	}
	x.count(a)
	if !x.encoder.writes(a) {
		x.tally.LeftOut++
		return nil
	}
	if x.config.Layout != LayoutOpenAIBatch {
		return x.write([]pipeline.Answer{a})
	}
	if len(x.item) > 0 && x.item[0].Item != a.Item {
		if err := x.flushItem(); err != nil {
			return err
		}
	}
	a.Input = slices.Clone(a.Input)
	x.item = append(x.item, a)
	return nil
}

// count counts an answer.
func (x *Exporter) count(a pipeline.Answer) {
	switch {
	case a.Result != nil:
		if x.last != nil && x.last.Engine == a.Result.Engine && x.last.Digest == a.Result.Digest {
			x.alike++
			return
		}
		x.countEngine()
		x.last, x.alike = a.Result, 1
		return
	case a.Failure != nil:
		if x.tally.Classes == nil {
			x.tally.Classes = map[string]int{}
		}
		x.tally.Classes[string(a.Failure.Class)]++
		if x.encoder.writes(a) {
			x.tally.Failed++
		}
	}
	x.tally.Missing++
}

// countEngine adds the last answers, which are of one engine and digest, to what is known.
func (x *Exporter) countEngine() {
	if x.last == nil {
		return
	}
	name := string(x.last.Engine)
	if digest := pipeline.ShortDigest(x.last.Digest); digest != "" {
		name += " " + digest
	}
	if name == "" {
		name = "not recorded"
	}
	x.engines[name] += x.alike
	x.last = nil
}

// flushItem writes the line of the item whose answers have come.
func (x *Exporter) flushItem() error {
	if len(x.item) == 0 {
		return nil
	}
	item := x.item
	x.item = x.item[:0]
	return x.write(item)
}

// write writes the line of answers.
func (x *Exporter) write(answers []pipeline.Answer) error {
	var err error
	if x.line, err = x.encoder.append(x.line[:0], answers); err != nil {
		return x.fail(err)
	}
	if answers[0].Result == nil && x.leading == x.tally.Lines {
		x.leading++
	}
	if err := x.out.Write(x.line); err != nil {
		return x.fail(failure(x.config.Out, err))
	}
	x.tally.Lines++
	return nil
}

// Commit makes the files appear under their names, synced to the disk.
func (x *Exporter) Commit() (Tally, error) {
	switch {
	case x.err != nil:
		return x.tally, x.err
	case x.done:
		return x.tally, fmt.Errorf("output %s is closed already", x.config.Out)
	}
	if err := x.flushItem(); err != nil {
		return x.tally, err
	}
	if err := x.out.Close(); err != nil {
		return x.tally, x.fail(failure(x.config.Out, err))
	}
	x.notes()
	var err error
	if x.folder != nil {
		err = x.commitFolder()
	} else {
		err = x.commitFile()
	}
	if err != nil {
		return x.tally, x.fail(err)
	}
	x.done = true
	x.out.remove()
	return x.tally, nil
}

func (x *Exporter) commitFile() error {
	if err := x.packed.Close(); err != nil {
		return failure(x.config.Out, err)
	}
	if x.file.direct == nil {
		if err := Check(x.config); err != nil { // another program may have written there meanwhile
			return err
		}
		x.tally.Files = 1
	}
	return x.file.commit()
}

func (x *Exporter) commitFolder() error {
	x.countEngine()
	x.tally.Files = len(x.folder.shards)
	c := card{run: x.run, config: x.config, names: x.encoder.names, tally: x.tally, engines: x.engines, features: x.out.(*columnarWriter).schema.Features()}
	_, err := x.folder.commit(c.text())
	return err
}

// notes says what a reader of the files should know.
func (x *Exporter) notes() {
	note := func(format string, args ...any) { x.tally.Notes = append(x.tally.Notes, fmt.Sprintf(format, args...)) }
	columnar, isColumnar := x.out.(*columnarWriter)
	if isColumnar {
		for _, column := range columnar.schema.Mixed() {
			note("column %q has values of several types, and is a text of JSON here", column)
		}
	}
	if table, ok := x.out.(*tableWriter); ok {
		for _, column := range table.surprising() {
			note("column %q begins with texts that look like numbers, for which some readers take all of it, as polars does: write .parquet", column)
		}
	}
	if !isColumnar && x.leading > 0 && x.config.Layout == LayoutRows {
		note("the first lines (%d) have no answer, which hides the type of its column from readers that look at the beginning only, as datasets and polars do: write .parquet, or leave out --all and --with-failed", x.leading)
	}
	if x.encoder.halves > 0 {
		note("half a surrogate pair, which no loader reads, is written as U+FFFD; rows that had one: %d", x.encoder.halves)
	}
	if x.tally.LeftOut > 0 && x.config.Layout != LayoutRows && x.config.All {
		note("layout %s has nothing to show of a generation without an answer: %d were left out", x.config.Layout, x.tally.LeftOut)
	}
}

// Abort removes what was written. A file that existed under the name before stays as it was. After
// Commit it does nothing, so it may be deferred.
func (x *Exporter) Abort() {
	if x.done {
		return
	}
	x.done = true
	if x.out != nil {
		x.out.remove()
	}
	if x.file != nil {
		x.file.abort()
	}
	if x.folder != nil {
		x.folder.abort()
	}
}

// fail ends the export after a failure, and keeps the error for later calls.
func (x *Exporter) fail(err error) error {
	if x.err == nil {
		x.err = err
	}
	x.Abort()
	return x.err
}
