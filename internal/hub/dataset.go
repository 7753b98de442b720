package hub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// fetchDataset downloads the files of a dataset that a source names.
func (c *client) fetchDataset(ctx context.Context, t target, source Source) (Fetched, error) {
	l, err := c.listingOf(ctx, t)
	if err != nil && c.cfg.Offline {
		if fetched, ok, offline := c.fromHubCache(t, source); ok || offline != nil {
			return fetched, offline
		}
	}
	if err != nil {
		return Fetched{}, err
	}
	head, err := c.cardOf(ctx, t, l)
	if err != nil {
		return Fetched{}, err
	}
	chosen, err := chooser{t, l, head}.choose(first(source.Subset, t.subset), first(source.Split, t.split))
	if err != nil {
		return Fetched{}, err
	}
	fetched := describe(t, l.Commit, chosen)
	fetched.Files, err = c.download(ctx, t, l.Commit, chosen.files)
	if err != nil && c.cfg.Offline {
		if cached, ok, _ := c.fromHubCache(t, source); ok && cached.Revision == l.Commit {
			return cached, nil
		}
	}
	return fetched, err
}

// describe says what was chosen, but for where its files are.
func describe(t target, commit string, chosen choice) Fetched {
	fetched := Fetched{
		Name: t.shown(), Revision: commit, Subset: chosen.subset, Split: chosen.split, LeftOut: chosen.leftOut,
	}
	for _, e := range chosen.files {
		one := t
		one.path = e.Path
		fetched.Shown = append(fetched.Shown, one.shown())
	}
	return fetched
}

// listingOf returns the files of a dataset at the commit that its revision is now; a commit's own
// are asked for once.
func (c *client) listingOf(ctx context.Context, t target) (listing, error) {
	folder := c.datasetFolder(t)
	ref := filepath.Join(folder, "refs", safeName(url.PathEscape(t.ref())))
	commit := t.ref()
	switch {
	case isCommit(commit):
	case c.cfg.Offline:
		data, err := os.ReadFile(ref)
		if commit = strings.TrimSpace(string(data)); err != nil || !isCommit(commit) {
			return listing{}, fmt.Errorf("%s: %w", t.name(), errOffline)
		}
	default:
		got, err := c.commitOf(ctx, t)
		if err != nil {
			return listing{}, c.kept(ref, c.explain(ctx, t, err))
		}
		commit = got.SHA
	}
	var l listing
	file := filepath.Join(folder, "commits", commit+".json")
	if !readJSON(file, &l) || l.Commit != commit || slices.ContainsFunc(l.Entries, func(e entry) bool { return checkEntry(e) != nil }) {
		var err error
		if l, err = c.list(ctx, t, commit); err != nil {
			return listing{}, c.explain(ctx, t, err)
		}
		slices.SortFunc(l.Entries, func(a, b entry) int { return strings.Compare(a.Path, b.Path) })
		if err := writeJSON(file, l); err != nil {
			return listing{}, err
		}
	}
	if commit != t.ref() {
		return l, writeWhole(ref, []byte(commit+"\n"))
	}
	return l, nil
}

// kept adds to an error of the network that the cache has the dataset.
func (c *client) kept(ref string, err error) error {
	info, statErr := os.Stat(ref)
	if statErr != nil || c.cfg.Offline {
		return err
	}
	if _, answered := errors.AsType[refusal](err); answered {
		return err
	}
	return fmt.Errorf("%w (HF_HUB_OFFLINE=1 reads what was fetched on %s)", err, info.ModTime().Format(time.DateOnly))
}

// cardOf reads what a dataset's README says of its files, if the whole dataset is meant.
func (c *client) cardOf(ctx context.Context, t target, l listing) (card, error) {
	var head card
	if t.path != "" || strings.HasPrefix(t.ref(), convertRefs) {
		return head, nil
	}
	for _, file := range []struct {
		name string
		read func([]byte) (card, error)
	}{{"README.md", readCard}, {".huggingface.yaml", readConfigs}} {
		name := file.name
		e, ok := l.find(name)
		if !ok {
			continue
		}
		if e.Size > maxCard {
			return card{}, fmt.Errorf("%s: its %s has %s: give the address of one of its files", t.name(), name, size(e.Size))
		}
		files, err := c.download(ctx, t, l.Commit, []entry{e})
		if err != nil {
			return card{}, err
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			return card{}, fmt.Errorf("%s: %w", t.name(), err)
		}
		says, err := file.read(data)
		if err != nil {
			return card{}, fmt.Errorf("%s: its %s says which files are rows, and cannot be understood: %w; give the address of one of its files", t.name(), name, err)
		}
		if len(head.subsets) == 0 || name != "README.md" && len(says.subsets) > 0 { // the other file wins
			says.only = first(says.only, head.only)
			head = says
		}
	}
	return head, nil
}

// download brings files of a commit into the cache, a few at once, and returns where they lie.
func (c *client) download(ctx context.Context, t target, commit string, files []entry) ([]string, error) {
	var all, missing int64
	paths := make([]string, len(files))
	for i, e := range files {
		paths[i] = filepath.Join(c.datasetFolder(t), "blobs", e.key(), safeName(path.Base(e.Path)))
		if all += e.Size; !hasSize(paths[i], e.Size) {
			missing += e.Size
		}
	}
	if all > c.cfg.MaxBytes {
		return nil, fmt.Errorf("%s: %w: %d files have %s, and %s are allowed", t.shown(), ErrTooLarge, len(files), size(all), size(c.cfg.MaxBytes))
	}
	if err := c.checkRoom(t.shown(), missing); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, e := range files {
		group.Go(func() error { return c.downloadBlob(ctx, t, commit, e, paths[i]) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return paths, nil
}

// downloadBlob brings one file of a commit into the cache.
func (c *client) downloadBlob(ctx context.Context, t target, commit string, e entry, file string) error {
	one := t
	one.path = e.Path
	if hasSize(file, e.Size) {
		c.progress(one.shown(), e.Size, e.Size)
		return nil
	}
	if c.cfg.Offline {
		return fmt.Errorf("%s: %w", one.shown(), errOffline)
	}
	unlock, err := lock(ctx, file)
	if err != nil {
		return err
	}
	defer unlock()
	if hasSize(file, e.Size) { // another process was faster
		return nil
	}
	parts := append([]string{"datasets"}, strings.Split(t.repo, "/")...)
	parts = append(append(parts, "resolve", commit), strings.Split(e.Path, "/")...)
	d := download{url: c.apiURL(parts...), shown: one.shown(), partFile: file + ".part", want: &e, maxBytes: e.Size}
	if _, _, err := c.run(ctx, d); err != nil {
		return c.explain(ctx, t, err)
	}
	return d.finish(file)
}

// finish gives a downloaded file its name.
func (d download) finish(file string) error {
	if err := os.Rename(d.partFile, file); err != nil {
		return diskError(err, filepath.Dir(file))
	}
	_ = os.Remove(d.stateFile())
	return nil
}
