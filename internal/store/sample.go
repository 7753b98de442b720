package store

import (
	"context"
	"math/rand/v2"
	"slices"

	"gleaner/internal/pipeline"
)

// sampleAnswers returns the first stored answers of a run, or random ones of those between its
// first and its last.
func sampleAnswers(ctx context.Context, p pages, name string, count int, random bool) ([]pipeline.Answer, error) {
	run, err := p.Run(ctx, name)
	if err != nil || count <= 0 {
		return nil, err
	}
	results, err := firstResults(ctx, p, name, count)
	if err != nil {
		return nil, err
	}
	if random && len(results) == count {
		if results, err = randomResults(ctx, p, run, results); err != nil {
			return nil, err
		}
	}
	answers := make([]pipeline.Answer, 0, len(results))
	for _, r := range results {
		items, err := p.itemPage(ctx, name, r.Item, 1)
		if err != nil {
			return nil, err
		}
		a := pipeline.Answer{Item: r.Item, Sample: r.Sample, Result: &r}
		if len(items) > 0 && items[0].Seq == r.Item {
			a.Input = items[0].Input
		}
		answers = append(answers, a)
	}
	return answers, nil
}

func firstResults(ctx context.Context, p pages, run string, count int) ([]pipeline.StoredResult, error) {
	var results []pipeline.StoredResult
	var from generation
	for len(results) < count {
		page, err := p.resultPage(ctx, run, from, min(pageRows, count-len(results)))
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		results = append(results, page...)
		from = at(page[len(page)-1]).next()
	}
	return results, nil
}

// randomResults draws as many results as it is given. Counting or sorting all of them would read
// the whole run, so it asks for the results that follow random positions. Those that are drawn
// twice are replaced by the first results of the run.
func randomResults(ctx context.Context, p pages, run pipeline.Run, first []pipeline.StoredResult) ([]pipeline.StoredResult, error) {
	last, err := p.lastResult(ctx, run.Name)
	if err != nil {
		return nil, err
	}
	samples := run.Spec.Samples
	low, high := first[0].Item*samples+first[0].Sample, last.item*samples+last.sample
	drawn := map[generation]pipeline.StoredResult{}
	for range 3 * len(first) {
		n := low + rand.IntN(max(1, high-low+1))
		page, err := p.resultPage(ctx, run.Name, generation{n / samples, n % samples}, 1)
		if err != nil {
			return nil, err
		}
		if len(page) > 0 {
			drawn[at(page[0])] = page[0]
		}
		if len(drawn) == len(first) {
			break
		}
	}
	for _, r := range first {
		if len(drawn) < len(first) {
			drawn[at(r)] = r
		}
	}
	results := make([]pipeline.StoredResult, 0, len(drawn))
	for _, r := range drawn {
		results = append(results, r)
	}
	slices.SortFunc(results, func(a, b pipeline.StoredResult) int { return at(a).compare(at(b)) })
	return results, nil
}
