package store

import (
	"cmp"
	"context"
	"iter"

	"gleaner/internal/pipeline"
)

// pageRows is how many rows the export reads at a time. A page is read as a whole and closed
// before its first row is handed on: a slow reader holds no cursor that a server may time out,
// and no snapshot that keeps a log from being cut.
const pageRows = 1000

// A generation is the position of a result in its run.
type generation struct{ item, sample int }

func (g generation) compare(h generation) int {
	return cmp.Or(cmp.Compare(g.item, h.item), cmp.Compare(g.sample, h.sample))
}

func (g generation) next() generation { return generation{g.item, g.sample + 1} }

func at(r pipeline.StoredResult) generation { return generation{r.Item, r.Sample} }

// pages is what the export needs from a store. A page has at most count rows, and fewer if they
// are big; only an empty page means that there are no more.
type pages interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	itemPage(ctx context.Context, run string, first, count int) ([]pipeline.Item, error)
	resultPage(ctx context.Context, run string, from generation, count int) ([]pipeline.StoredResult, error)
	// lastResult returns the position of the last stored result of a run that has one.
	lastResult(ctx context.Context, run string) (generation, error)
}

// answers merges a run's items and results, both read in order, into its generations.
func answers(ctx context.Context, p pages, name string) iter.Seq2[pipeline.Answer, error] {
	return func(yield func(pipeline.Answer, error) bool) {
		if err := merge(ctx, p, name, func(a pipeline.Answer) bool { return yield(a, nil) }); err != nil {
			yield(pipeline.Answer{}, err)
		}
	}
}

// merge passes every generation to yield until that returns false, and then returns no error.
func merge(ctx context.Context, p pages, name string, yield func(pipeline.Answer) bool) error {
	run, err := p.Run(ctx, name)
	if err != nil {
		return err
	}
	items := cursor[pipeline.Item]{read: func(last *pipeline.Item) ([]pipeline.Item, error) {
		first := 0
		if last != nil {
			first = last.Seq + 1
		}
		return p.itemPage(ctx, name, first, pageRows)
	}}
	results := cursor[pipeline.StoredResult]{read: func(last *pipeline.StoredResult) ([]pipeline.StoredResult, error) {
		var from generation
		if last != nil {
			from = at(*last).next()
		}
		return p.resultPage(ctx, name, from, pageRows)
	}}
	for seq := range run.Items {
		item, err := items.peek()
		switch {
		case err != nil:
			return err
		case item == nil && run.State == pipeline.RunLoading:
			return nil
		case item == nil || item.Seq != seq:
			return pipeline.Fail(pipeline.Fatal, "read the answers of run %s: item %d is missing in the store: delete the run and load it again", name, seq)
		}
		items.take()
		for sample := range run.Spec.Samples {
			result, err := find(&results, generation{seq, sample})
			if err != nil {
				return err
			}
			if !yield(pipeline.Answer{Item: seq, Sample: sample, Input: item.Input, Result: result}) {
				return nil
			}
		}
	}
	return nil
}

// itemAnswers returns the generations of an item.
func itemAnswers(ctx context.Context, p pages, name string, item int) ([]pipeline.Answer, error) {
	run, err := p.Run(ctx, name)
	if err != nil {
		return nil, err
	}
	items, err := p.itemPage(ctx, name, item, 1)
	if err != nil || len(items) == 0 || items[0].Seq != item {
		return nil, err
	}
	results := cursor[pipeline.StoredResult]{read: func(last *pipeline.StoredResult) ([]pipeline.StoredResult, error) {
		from := generation{item: item}
		if last != nil {
			from = at(*last).next()
		}
		return p.resultPage(ctx, name, from, run.Spec.Samples-from.sample)
	}}
	var answers []pipeline.Answer
	for sample := range run.Spec.Samples {
		result, err := find(&results, generation{item, sample})
		if err != nil {
			return nil, err
		}
		answers = append(answers, pipeline.Answer{Item: item, Sample: sample, Input: items[0].Input, Result: result})
	}
	return answers, nil
}

// find takes the result of a generation, or returns nil if there is none. It skips the results
// that come before it.
func find(results *cursor[pipeline.StoredResult], g generation) (*pipeline.StoredResult, error) {
	for {
		r, err := results.peek()
		if err != nil || r == nil {
			return nil, err
		}
		switch at(*r).compare(g) {
		case 1:
			return nil, nil
		case 0:
			results.take()
			return r, nil
		}
		results.take()
	}
}

// A cursor reads rows page by page, one page in memory at a time.
type cursor[T any] struct {
	read func(last *T) ([]T, error) // the page after that row, or the first one
	page []T
	next int
	last *T
	end  bool
}

// peek returns the next row, or nil after the last one.
func (c *cursor[T]) peek() (*T, error) {
	if c.next == len(c.page) && !c.end {
		page, err := c.read(c.last)
		if err != nil {
			return nil, err
		}
		c.page, c.next, c.end = page, 0, len(page) == 0
	}
	if c.end {
		return nil, nil
	}
	return &c.page[c.next], nil
}

func (c *cursor[T]) take() {
	c.last = &c.page[c.next]
	c.next++
}

// allItems returns consecutive items, at most count, beginning with first. It reads as many pages
// as that takes.
func allItems(ctx context.Context, p pages, run string, first, count int) ([]pipeline.Item, error) {
	var items []pipeline.Item
	for len(items) < count {
		page, err := p.itemPage(ctx, run, first+len(items), count-len(items))
		if err != nil {
			return nil, err
		}
		for _, item := range page {
			if item.Seq != first+len(items) {
				return items, nil
			}
			items = append(items, item)
		}
		if len(page) == 0 {
			break
		}
	}
	return items, nil
}
