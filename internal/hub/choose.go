package hub

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"gleaner/internal/text"
)

// unclear is an error that wraps ErrChoose.
func unclear(format string, args ...any) error {
	return choiceError(fmt.Sprintf(format, args...))
}

// A choiceError says which subsets or splits there are.
type choiceError string

func (e choiceError) Error() string { return string(e) }

// Is makes errors.Is find ErrChoose, whose text would add nothing.
func (e choiceError) Is(target error) bool { return target == ErrChoose }

// A choice is which files of a dataset are wanted.
type choice struct {
	subset, split string
	files         []entry
	leftOut       []string // paths
}

// A chooser finds the files that a source names in a dataset.
type chooser struct {
	target  target
	listing listing
	card    card
}

// choose returns the files of what is wanted, in natural order. An error about a subset or a split
// wraps ErrChoose and lists those that there are.
func (c chooser) choose(subsetName, splitName string) (choice, error) {
	if c.target.path != "" {
		return c.byPath(subsetName, splitName)
	}
	s, err := c.subset(subsetName)
	if err != nil {
		return choice{}, err
	}
	return c.split(s, splitName)
}

// byPath chooses a file, a glob, or the splits below a folder.
func (c chooser) byPath(subsetName, splitName string) (choice, error) {
	t := c.target
	if e, ok := c.listing.find(t.path); ok {
		if subsetName != "" || splitName != "" {
			return choice{}, fmt.Errorf("%s is one file: leave out --subset and --input-split", t.shown())
		}
		return choice{files: []entry{e}}, nil
	}
	if subsetName != "" {
		return choice{}, fmt.Errorf("%s names a path in the dataset, and --subset names a part of the whole: leave out one of them", t.shown())
	}
	if hasMagic(t.path) {
		if splitName != "" {
			return choice{}, fmt.Errorf("%s chooses files by a pattern: leave out --input-split", t.shown())
		}
		files, err := c.glob([]string{t.path}, "")
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("%s: no file of the dataset matches%s", t.shown(), nearest(t.path, c.paths(), "it has "))
		}
		return choice{files: files}, err
	}
	for _, e := range c.listing.Entries {
		if strings.HasPrefix(e.Path, t.path+"/") {
			return c.split(subset{folder: t.path}, splitName)
		}
	}
	return choice{}, fmt.Errorf("%s: the dataset has no such file or folder%s", t.shown(), nearest(t.path, c.paths(), "it has "))
}

// paths returns the paths of all files and folders.
func (c chooser) paths() (all []string) {
	seen := map[string]bool{}
	for _, e := range c.listing.Entries {
		for p := e.Path; p != "." && p != "/" && !seen[p]; p = path.Dir(p) {
			seen[p] = true
			all = append(all, p)
		}
	}
	slices.SortFunc(all, natural)
	return all
}

// subset returns the subset that is meant.
func (c chooser) subset(name string) (subset, error) {
	subsets := c.card.subsets
	if strings.HasPrefix(c.target.ref(), convertRefs) {
		subsets = c.converted()
	}
	if len(subsets) == 0 {
		if name == "" || name == "default" || name == c.card.only {
			return subset{}, nil
		}
		return subset{}, c.wrongSubset(name)
	}
	var defaults []subset
	var all []string
	for _, s := range subsets {
		if s.name == name {
			return s, nil
		}
		if s.isDefault {
			defaults = append(defaults, s)
		}
		all = append(all, s.name)
	}
	switch {
	case name != "":
		return subset{}, unclear("%s has no subset %q%s", c.target.name(), text.Shorten(name, 100), nearest(name, all, "it has "))
	case len(subsets) == 1:
		return subsets[0], nil
	case len(defaults) == 1:
		return defaults[0], nil
	}
	return subset{}, unclear("%s has the subsets %s: choose one, as in --subset %s", c.target.name(), names(all), text.Printable(all[0]))
}

// wrongSubset is the error for a subset of a dataset that has none.
func (c chooser) wrongSubset(name string) error {
	for _, e := range c.listing.Entries {
		if strings.HasPrefix(e.Path, name+"/") {
			return unclear("%s has no subsets, but a folder of that name: give %s/%s and leave out --subset", c.target.name(), c.target.name(), text.Printable(name))
		}
	}
	return unclear("%s has no subsets: leave out --subset", c.target.name())
}

// converted returns the subsets and splits of the branch with the hub's own Parquet files, whose
// folders name them.
func (c chooser) converted() (all []subset) {
	for _, e := range c.listing.Entries {
		parts := strings.Split(e.Path, "/")
		if len(parts) != 3 || hiddenParts(e.Path) > 0 {
			continue
		}
		if len(all) == 0 || all[len(all)-1].name != parts[0] {
			all = append(all, subset{name: parts[0], isDefault: parts[0] == "default"})
		}
		s := &all[len(all)-1]
		split := strings.TrimPrefix(parts[1], "partial-")
		if !slices.ContainsFunc(s.splits, func(p splitPattern) bool { return p.split == split }) {
			s.splits = append(s.splits, splitPattern{split, []string{parts[0] + "/" + parts[1] + "/*"}})
		}
	}
	return all
}

// split returns the files of a subset's split.
func (c chooser) split(s subset, name string) (choice, error) {
	what := c.target.shown()
	if s.name != "" {
		what += ", subset " + text.Printable(s.name)
	}
	splits := s.splits
	if splits == nil {
		splits = c.bySplitNames(s.folder)
	}
	if len(splits) == 0 {
		return choice{}, fmt.Errorf("%s: %s", what, c.noRows(s.folder))
	}
	var all []string
	chosen := splitPattern{}
	for _, p := range splits {
		all = append(all, p.split)
		if p.split == name || len(splits) == 1 && name == "" {
			chosen = p
		}
	}
	switch {
	case chosen.split != "":
	case strings.Contains(name, "["):
		return choice{}, unclear("%s: --input-split is the name of a split (%s), and --limit reads a part of it", what, names(all))
	case name != "":
		return choice{}, unclear("%s has no split %q%s", what, text.Shorten(name, 100), nearest(name, all, "it has "))
	default:
		return choice{}, unclear("%s has the splits %s: choose one, as in --input-split %s", what, names(all), text.Printable(all[0]))
	}
	matched, err := c.glob(chosen.patterns, s.folder)
	if err != nil {
		return choice{}, fmt.Errorf("%s: %w", what, err)
	}
	result := choice{subset: s.name, split: chosen.split}
	result.files, result.leftOut = mostCommonKind(matched)
	switch {
	case len(matched) == 0:
		return choice{}, fmt.Errorf("%s, split %s: no file matches %s", what, text.Printable(chosen.split), names(chosen.patterns))
	case len(result.files) == 0:
		return choice{}, fmt.Errorf("%s, split %s: %s", what, text.Printable(chosen.split), noRowsIn(result.leftOut))
	}
	return result, nil
}

// glob returns the files that match, each once: by pattern, and for each in natural order.
func (c chooser) glob(patterns []string, folder string) (files []entry, err error) {
	seen := map[string]bool{}
	for _, p := range patterns {
		if _, rest := schemeOf(p); rest != p {
			own, ok := strings.CutPrefix(p, datasetScheme+c.target.repo)
			if !ok {
				return nil, fmt.Errorf("its card names files elsewhere (%s): give their addresses", text.Printable(text.Shorten(text.Address(p), 200)))
			}
			_, p, _ = strings.Cut(own, "/")
		}
		p = strings.TrimPrefix(path.Join(folder, p), "/")
		g, err := newGlob(p)
		if err != nil {
			return nil, err
		}
		below := !hasMagic(p)
		var found []entry
		for _, e := range c.listing.Entries {
			if !seen[e.Path] && (g.matches(e.Path) || below && strings.HasPrefix(e.Path, p+"/") && hiddenParts(e.Path) == g.hidden) {
				seen[e.Path] = true
				found = append(found, e)
			}
		}
		slices.SortStableFunc(found, func(a, b entry) int { return natural(a.Path, b.Path) })
		files = append(files, found...)
	}
	return files, nil
}

// bySplitNames finds the splits of a dataset without a card from the names of its files, as the
// datasets library does: data/NAME-00000-of-00001.*, else folders, else files that are called
// train, validation or test or the like, else all files are one split.
func (c chooser) bySplitNames(folder string) []splitPattern {
	sharded := regexp.MustCompile(`^data/([\pL\pN_]+(?:\.[\pL\pN_]+)*)-[0-9]{5}-of-[0-9]{5}[^/]*\.[^/]*$`)
	const numbers = "-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]*.*"
	var relative []string
	seen := map[string]bool{}
	var found []string
	for _, e := range c.listing.Entries {
		inside := e.Path
		if folder != "" {
			var ok bool
			if inside, ok = strings.CutPrefix(e.Path, strings.Trim(folder, "/")+"/"); !ok {
				continue
			}
		}
		if kindOf(inside) == "" || hiddenParts(inside) > 0 || specialFolders(inside) > 0 || isAboutTheDataset(path.Base(inside)) {
			continue
		}
		relative = append(relative, inside)
		if m := sharded.FindStringSubmatch(inside); m != nil && !seen[m[1]] {
			seen[m[1]] = true
			found = append(found, m[1])
		}
	}
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b string) int {
			return cmp.Or(cmp.Compare(usualOrder(a), usualOrder(b)), strings.Compare(a, b))
		})
		var splits []splitPattern
		for _, name := range found {
			splits = append(splits, splitPattern{name, []string{"data/" + name + numbers}})
		}
		return splits
	}
	for _, patterns := range [][]splitPattern{folderPatterns(), filePatterns(), {{"train", []string{"**"}}}} {
		if splits := thatMatch(patterns, relative); len(splits) > 0 {
			return splits
		}
	}
	return nil
}

// thatMatch returns the splits of which a pattern matches a path.
func thatMatch(splits []splitPattern, paths []string) (matching []splitPattern) {
	for _, s := range splits {
		if slices.ContainsFunc(s.patterns, func(p string) bool {
			g, err := newGlob(p)
			return err == nil && slices.ContainsFunc(paths, g.matches)
		}) {
			matching = append(matching, s)
		}
	}
	return matching
}

func usualOrder(split string) int {
	if i := slices.Index([]string{"train", "validation", "test"}, split); i >= 0 {
		return i
	}
	return 3
}
