package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gleaner/internal/outage"
	"gleaner/internal/text"
)

// pushes is how often a push begins again after an answer that does not say whether it was done.
const pushes = 4

// Upload makes a folder a dataset of the hub, or brings one that an earlier Upload made to the
// state of the folder, in one commit, and returns its page and the commit. Where nothing differs
// there is no commit, and the last one is returned. A file that no earlier Upload wrote, or that
// was changed since, is never replaced or deleted: the error wraps ErrNotOurs and names it.
func Upload(ctx context.Context, cfg Config, push Push) (url string, commit string, err error) {
	c, err := newClient(cfg)
	if err != nil {
		return "", "", err
	}
	defer c.close()
	t, err := parsePush(push.Repo)
	if err != nil {
		return "", "", err
	}
	if err := c.mayPush(t); err != nil {
		return "", "", err
	}
	files, err := readFolder(ctx, push.Folder)
	if err != nil {
		return "", "", fmt.Errorf("pushing %s to %s: %w", push.Folder, t.name(), err)
	}
	wait := outage.NewBackoff(c.cfg.Wait, longestWait)
	for tries := 1; ; tries++ {
		commit, err = c.pushOnce(ctx, t, push, files)
		if err == nil {
			return c.pageOf(t), commit, nil
		}
		if _, again := errors.AsType[temporary](err); !again || tries >= pushes {
			return "", "", c.hide(c.explain(ctx, t, err))
		}
		if err := wait.Sleep(ctx); err != nil {
			return "", "", err
		}
	}
}

// parsePush understands where a push goes.
func parsePush(repo string) (target, error) {
	rest := repo
	if scheme, after := schemeOf(repo); scheme == "hf" {
		rest = after
	} else {
		rest = "datasets/" + rest
	}
	t, err := parseDataset(rest)
	switch {
	case err != nil:
		return target{}, err
	case t.path != "":
		return target{}, fmt.Errorf("%s: a push replaces a whole dataset: write %s%s", t.shown(), datasetScheme, t.repo)
	case isCommit(t.revision) || strings.HasPrefix(t.revision, "refs/"):
		return target{}, fmt.Errorf("%s: a push goes to a branch, and %s is none", t.name(), t.revision)
	}
	return t, nil
}

// mayPush refuses what the hub would refuse after a long upload.
func (c *client) mayPush(t target) error {
	tokens := strings.TrimSuffix(c.endpoint.String(), "/") + "/settings/tokens"
	switch {
	case c.cfg.Offline:
		return fmt.Errorf("pushing to %s: HF_HUB_OFFLINE is set: unset it", t.name())
	case c.cfg.Token == "":
		return fmt.Errorf("pushing to %s: set HF_TOKEN to a token with the right to write, from %s", t.name(), tokens)
	case !c.mayHaveToken(c.endpoint):
		return fmt.Errorf("pushing to %s: HF_ENDPOINT is %s, and the token is sent over https:// only", t.name(), text.Address(c.endpoint.String()))
	}
	return nil
}

func (c *client) pageOf(t target) string {
	page := strings.TrimSuffix(c.endpoint.String(), "/") + "/datasets/" + t.repo
	if t.revision != "" && t.revision != mainRevision {
		page += "/tree/" + t.revision
	}
	return page
}

// pushOnce compares the folder with the dataset and commits the difference.
func (c *client) pushOnce(ctx context.Context, t target, push Push, files []local) (commit string, err error) {
	head, err := c.ensure(ctx, t, push.Private)
	if err != nil {
		return "", err
	}
	there, err := c.list(ctx, t, head.SHA)
	if err != nil {
		return "", err
	}
	last, err := c.manifestOf(ctx, t, there)
	if err != nil {
		return "", err
	}
	change, err := compare(files, there, last)
	if err != nil {
		return "", fmt.Errorf("pushing to %s: %w at %s/tree/%s, or push under another name", t.name(), err, strings.TrimSuffix(c.endpoint.String(), "/")+"/datasets/"+t.repo, t.ref())
	}
	if change.isNothing() {
		return head.SHA, nil
	}
	if err := c.modes(ctx, t, change.add); err != nil {
		return "", err
	}
	if err := c.uploadLarge(ctx, t, change.add); err != nil {
		return "", err
	}
	return c.commit(ctx, t, head.SHA, push.Message, change)
}

// ensure returns the dataset's last commit, and makes the dataset if it is not there.
func (c *client) ensure(ctx context.Context, t target, private bool) (info, error) {
	head, err := c.commitOf(ctx, t)
	r, refused := errors.AsType[refusal](err)
	unknown := refused && r.code != "RevisionNotFound" && r.code != "GatedRepo" && (r.status == http.StatusNotFound || r.status == http.StatusUnauthorized && r.code == "RepoNotFound")
	if unknown {
		if err := c.create(ctx, t, private); err != nil {
			return info{}, err
		}
		head, err = c.commitOf(ctx, t)
	}
	if err == nil && private && !head.Private {
		return info{}, fmt.Errorf("%s is public, and the push is to be private: change it at %s/settings, or push under another name", t.name(), c.pageOf(target{repo: t.repo}))
	}
	return head, err
}

func (c *client) create(ctx context.Context, t target, private bool) error {
	owner, name, _ := strings.Cut(t.repo, "/")
	asked := map[string]any{"name": name, "organization": owner, "type": "dataset", "private": private}
	if private {
		asked["visibility"] = "private"
	}
	var answer any
	err := c.post(ctx, c.apiURL("api", "repos", "create"), "making "+t.name(), asked, &answer)
	if r, ok := errors.AsType[refusal](err); ok && r.status == http.StatusConflict {
		return nil // made by another process in between
	}
	return err
}

// A manifest says what pushes have written. It is a file of the dataset, so that a later push from
// another machine knows it, too.
type manifest struct {
	About string             `json:"about"`
	Files map[string]content `json:"files"` // by path
}

// content is a file's, by the two hashes that the hub may list.
type content struct {
	SHA256 string `json:"sha256"`
	Git    string `json:"git"`
}

const (
	manifestName = ".gleaner-push.json"
	maxManifest  = 32 << 20 // bytes
)

// is reports whether the hub lists a file with this content.
func (k content) is(e entry) bool {
	if e.LFS != "" {
		return e.LFS == k.SHA256
	}
	return e.OID == k.Git
}

// A change is what a commit does.
type change struct {
	add      []local
	remove   []string
	manifest manifest
	same     bool // the manifest of the dataset
}

func (c change) isNothing() bool { return len(c.add) == 0 && len(c.remove) == 0 && c.same }

// compare finds what a commit has to do, and refuses to touch what is not ours.
func compare(files []local, there listing, last manifest) (change, error) {
	remote := map[string]entry{}
	for _, e := range there.Entries {
		remote[e.Path] = e
	}
	next := change{manifest: manifest{
		About: "What Gleaner has pushed. Its next push replaces and deletes these files, if nothing else has changed them, and no others.",
		Files: map[string]content{},
	}}
	var others []string
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.path] = true
		e, exists := remote[f.path]
		was, known := last.Files[f.path]
		ours := known && was.is(e)
		switch {
		case exists && f.content.is(e):
			if ours {
				next.manifest.Files[f.path] = f.content
			}
		case exists && !ours:
			others = append(others, f.path)
		default:
			next.add = append(next.add, f)
			next.manifest.Files[f.path] = f.content
		}
	}
	for path, was := range last.Files {
		switch e, exists := remote[path]; {
		case wanted[path] || !exists:
		case was.is(e):
			next.remove = append(next.remove, path)
		default:
			others = append(others, path)
		}
	}
	if len(others) > 0 {
		slices.SortFunc(others, natural)
		return change{}, fmt.Errorf("it has %s, %w or changed since then: delete or rename this", names(others), ErrNotOurs)
	}
	slices.SortFunc(next.add, func(a, b local) int { return cmp.Compare(a.path, b.path) })
	slices.Sort(next.remove)
	next.same = len(last.Files) == len(next.manifest.Files)
	for path, k := range next.manifest.Files {
		next.same = next.same && last.Files[path] == k
	}
	return next, nil
}
