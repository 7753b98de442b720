package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// fromHubCache reads what huggingface_hub has downloaded for Python programs. It reports false
// where that is nothing of this dataset.
func (c *client) fromHubCache(t target, source Source) (fetched Fetched, ok bool, err error) {
	if c.cfg.HubCache == "" {
		return Fetched{}, false, nil
	}
	folder := filepath.Join(c.cfg.HubCache, "datasets--"+strings.ReplaceAll(t.repo, "/", "--"))
	commit := t.ref()
	if !isCommit(commit) {
		data, err := os.ReadFile(filepath.Join(folder, "refs", filepath.FromSlash(commit)))
		if commit = strings.TrimSpace(string(data)); err != nil || !isCommit(commit) {
			return Fetched{}, false, nil
		}
	}
	snapshot := filepath.Join(folder, "snapshots", commit)
	l, err := listFolder(snapshot, commit)
	if err != nil || len(l.Entries) == 0 {
		return Fetched{}, false, nil
	}
	var head card
	if data, err := os.ReadFile(filepath.Join(snapshot, "README.md")); err == nil && t.path == "" && len(data) <= maxCard {
		if head, err = readCard(data); err != nil {
			return Fetched{}, false, fmt.Errorf("%s: its README.md cannot be understood: %w; give the address of one of its files", t.name(), err)
		}
	}
	chosen, err := chooser{t, l, head}.choose(first(source.Subset, t.subset), first(source.Split, t.split))
	if err != nil {
		return Fetched{}, false, fmt.Errorf("%w (HF_HUB_OFFLINE is set, and only what huggingface_hub has downloaded to %s is there)", err, c.cfg.HubCache)
	}
	if missing := missingShard(chosen.files); missing != "" {
		return Fetched{}, false, fmt.Errorf("%s: HF_HUB_OFFLINE is set, and huggingface_hub has downloaded only a part of it: %s is missing; unset it once", t.name(), missing)
	}
	fetched = describe(t, commit, chosen)
	for _, e := range chosen.files {
		fetched.Files = append(fetched.Files, filepath.Join(snapshot, filepath.FromSlash(e.Path)))
	}
	return fetched, true, nil
}

// listFolder lists a snapshot: its files are links to what was downloaded.
func listFolder(folder, commit string) (listing, error) {
	l := listing{Commit: commit}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			l.Entries = append(l.Entries, entry{Path: filepath.ToSlash(relative), Size: info.Size()})
		}
		if len(l.Entries) > maxFiles {
			return errors.New("too many files")
		}
		return nil
	})
	return l, err
}

// missingShard returns a path that the names of the others promise, as in a-00000-of-00002, or
// nothing. A snapshot has what was downloaded, which may be a part.
func missingShard(files []entry) string {
	shard := regexp.MustCompile(`^(.*-)(\d{5})(-of-)(\d{5})(.*)$`)
	there := map[string]bool{}
	for _, e := range files {
		there[e.Path] = true
	}
	for _, e := range files {
		m := shard.FindStringSubmatch(e.Path)
		if m == nil {
			continue
		}
		total, _ := strconv.Atoi(m[4])
		for i := range total {
			name := fmt.Sprintf("%s%05d%s%s%s", m[1], i, m[3], m[4], m[5])
			if !there[name] {
				return name
			}
		}
	}
	return ""
}
