//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gleaner/internal/cli"
	"gleaner/internal/view"
)

// printOutcome prints what came of a seed.
func (c *command) printOutcome(t *cli.Terminal, o outcome, known bool) error {
	if c.JSON {
		return json.NewEncoder(t.Out).Encode(o)
	}
	word, when := "ok", ""
	if !o.OK {
		word = "FAILED"
	}
	if known {
		when = " (from " + c.Out + ")"
	}
	fmt.Fprintf(t.Out, "seed %d: %s in %.0f s%s: %s, %s stored, %s dead; %s; executed/needed %.3f (%s by broken servers), ended %.0f s after all was back, %s\n", o.Seed, word, o.Seconds, when,
		view.Plural(total(o.Faults), "fault", "faults"), view.Count(o.Stored), view.Count(o.Dead), o.losses, o.share(), view.Count(o.Spoilt), o.Late, spread(o.Recovery))
	for _, problem := range o.Problems {
		fmt.Fprintf(t.Out, "  %s\n", problem)
	}
	if o.Folder != "" {
		fmt.Fprintf(t.Out, "  the logs of all processes are in %s\n", o.Folder)
	}
	return nil
}

// printSummary prints the outcome of all seeds together.
func (c *command) printSummary(t *cli.Terminal, all []outcome) error {
	faults := map[kind]int{}
	var recoveries []recovery
	var failed []int64
	var sum losses
	stored, executed, longest, latest := 0, 0, 0.0, 0.0
	for _, o := range all {
		for k, n := range o.Faults {
			faults[k] += n
		}
		recoveries = append(recoveries, o.Recovery...)
		sum.add(o.losses)
		stored += o.Stored
		executed += o.Executed
		latest = max(latest, o.Late)
		longest = max(longest, o.Seconds)
		if !o.OK {
			failed = append(failed, o.Seed)
		}
	}
	share := float64(executed) / float64(max(stored, 1))
	if !c.JSON {
		fmt.Fprintf(t.Out, "\n%s, the longest %.0f s; %s:\n", view.Plural(len(all), "seed", "seeds"), longest, view.Plural(total(faults), "fault", "faults"))
		for _, k := range slices.Sorted(maps.Keys(faults)) {
			of := slices.DeleteFunc(slices.Clone(recoveries), func(r recovery) bool { return r.Kind != k })
			after := ""
			if len(of) > 0 {
				after = "  " + spread(of)
			}
			fmt.Fprintf(t.Out, "%6d  %-24s%s\n", faults[k], k, after)
		}
		fmt.Fprintf(t.Out, "%s\n", sum)
		fmt.Fprintf(t.Out, "ended %.0f s after all was back at most; %.0f s are allowed\n", latest, lateAtMost)
		fmt.Fprintf(t.Out, "executed/needed: %s answers completed by the models for %s stored, %.3f for each; %.2f are allowed\n", view.Count(executed), view.Count(stored), share, executedOfAll)
	}
	var errs []error
	if len(failed) > 0 {
		errs = append(errs, errors.New("not as promised: seeds "+strings.Trim(fmt.Sprint(failed), "[]")))
	}
	if share > executedOfAll && len(all) > 1 {
		errs = append(errs, fmt.Errorf("not as promised: the models completed %.3f answers for each that is stored, %.2f are allowed", share, executedOfAll))
	}
	return errors.Join(errs...)
}

func total(faults map[kind]int) (n int) {
	for _, k := range faults {
		n += k
	}
	return n
}

// spread says how long recoveries took.
func spread(all []recovery) string {
	if len(all) == 0 {
		return "no recovery to measure"
	}
	seconds := make([]float64, len(all))
	for i, r := range all {
		seconds[i] = r.Seconds
	}
	slices.Sort(seconds)
	return fmt.Sprintf("back at work after %.1f s (median), %.1f s at most", seconds[len(seconds)/2], seconds[len(seconds)-1])
}
