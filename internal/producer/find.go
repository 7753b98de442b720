package producer

import (
	"context"
	"fmt"
	"maps"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// FindItems returns the numbers of the items that a user names, in the order of the names: by the
// ids of items or generations, or by the user's own ids, where the run has a column of them. Own
// ids are searched for from the first row on, up to the last one that is wanted. Progress, which
// may be nil, gets the number of rows read so far.
func FindItems(ctx context.Context, store ItemReader, run pipeline.Run, names []string, progress func(rows int)) ([]int, error) {
	found, own := map[string]int{}, map[string]bool{}
	for _, name := range names {
		if item, ok := itemOf(run, name); ok {
			found[name] = item
		} else {
			own[name] = true
		}
	}
	if run.Spec.ID != "" && len(own) > 0 {
		rows, err := findRowIDs(ctx, store, run, own, progress)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, rows)
	}
	items := make([]int, 0, len(names))
	for _, name := range names {
		item, ok := found[name]
		if !ok {
			return nil, noRow(run, name)
		}
		items = append(items, item)
	}
	return items, nil
}

// findRowIDs returns the rows that have one of these ids.
func findRowIDs(ctx context.Context, store ItemReader, run pipeline.Run, wanted map[string]bool, progress func(rows int)) (map[string]int, error) {
	found := map[string]int{}
	for first := 0; len(found) < len(wanted); {
		items, err := store.Items(ctx, run.Name, first, MostItems)
		if err != nil || len(items) == 0 {
			return found, err
		}
		for _, item := range items {
			id, err := prompt.RowID(run.Spec, item.Input)
			if err != nil {
				return nil, fmt.Errorf("item %s: %w", item.ID(), err)
			}
			if wanted[id] {
				found[id] = item.Seq
			}
		}
		if first += len(items); progress != nil {
			progress(first)
		}
	}
	return found, nil
}

// itemOf returns the item of an id that Gleaner gave.
func itemOf(run pipeline.Run, id string) (item int, ok bool) {
	of, item, err := pipeline.ParseItemID(id)
	if err != nil {
		of, item, _, err = pipeline.ParseGenerationID(id)
	}
	return item, err == nil && of == run.Name && item < run.Items
}

// noRow says that there is no such row, and by what the rows of the run are known.
func noRow(run pipeline.Run, name string) error {
	example := pipeline.ItemID(run.Name, 0)
	if run.Spec.ID == "" {
		return fmt.Errorf("run %s has no row %q: it was loaded without --id, so its rows are known by ids such as %s", run.Name, name, example)
	}
	return fmt.Errorf("run %s has no row %q: its rows are known by column %q, and by ids such as %s", run.Name, name, run.Spec.ID, example)
}

// RowIDs returns the ids by which the user knows the rows of failures, by item; nil if the run has
// no column of them.
func RowIDs(ctx context.Context, store ItemReader, run pipeline.Run, failures []pipeline.GenerationFailure) (map[int]string, error) {
	if run.Spec.ID == "" {
		return nil, nil
	}
	ids := map[int]string{}
	for _, f := range failures {
		ids[f.Item] = ""
	}
	for item, id := range ids {
		if id != "" {
			continue
		}
		items, err := store.Items(ctx, run.Name, item, firstItems) // those of a batch lie near to each other
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			if _, wanted := ids[item.Seq]; !wanted {
				continue
			}
			if ids[item.Seq], err = prompt.RowID(run.Spec, item.Input); err != nil {
				return nil, fmt.Errorf("item %s: %w", item.ID(), err)
			}
		}
	}
	return ids, nil
}
