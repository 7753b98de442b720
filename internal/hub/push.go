package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"gleaner/internal/outage"
	"gleaner/internal/text"
)

// pushes is how often a push begins again after an answer that does not say whether it was done.
const pushes = 4

// Upload makes a folder a dataset of the hub, or brings one that an earlier Upload made to the
// state of the folder, in one commit. Where nothing differs there is no commit, and the last one is
// returned. Large files that an interrupted call has sent are not sent again. A file that no
// earlier Upload wrote, or that was changed since, is replaced or deleted only by force: otherwise
// the error wraps ErrNotOurs and names it.
func Upload(ctx context.Context, cfg Config, push Push) (Pushed, error) {
	c, t, err := begin(cfg, push)
	if err != nil {
		return Pushed{}, err
	}
	defer c.close()
	files, err := readFolder(ctx, push.Folder)
	if err != nil {
		return Pushed{}, fmt.Errorf("pushing %s to %s: %w", push.Folder, t.name(), err)
	}
	wait := outage.NewBackoff(c.cfg.Wait, longestWait)
	for tries := 1; ; tries++ {
		done, err := c.pushOnce(ctx, t, push, files)
		if err == nil {
			return done, nil
		}
		if _, again := errors.AsType[temporary](err); !again || tries >= pushes {
			return Pushed{}, c.hide(c.explain(ctx, t, err))
		}
		if err := wait.Sleep(ctx); err != nil {
			return Pushed{}, err
		}
	}
}

// begin returns a client for a push, and where that goes. It asks no one.
func begin(cfg Config, push Push) (*client, target, error) {
	t, err := parsePush(push.Repo)
	if err != nil {
		return nil, target{}, err
	}
	c, err := newClient(cfg)
	if err != nil {
		return nil, target{}, err
	}
	if err := c.mayPush(t); err != nil {
		c.close()
		return nil, target{}, err
	}
	return c, t, nil
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
	switch {
	case c.cfg.Offline:
		return fmt.Errorf("pushing to %s: HF_HUB_OFFLINE is set: unset it", t.name())
	case c.cfg.Token == "":
		return fmt.Errorf("pushing to %s: set HF_TOKEN to a token with the right to write, from %s", t.name(), c.tokens())
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
func (c *client) pushOnce(ctx context.Context, t target, push Push, files []local) (Pushed, error) {
	head, err := c.ensure(ctx, t, !push.Public)
	if err != nil {
		return Pushed{}, err
	}
	done := Pushed{URL: c.pageOf(t), Commit: head.SHA, Private: head.Private}
	there, last, err := c.state(ctx, t, head)
	if err != nil {
		return Pushed{}, err
	}
	change, others := compare(files, there, last, push)
	if len(others) > 0 {
		return Pushed{}, c.notOurs(t, others)
	}
	if change.isNothing() {
		return done, nil
	}
	if err := c.modes(ctx, t, change.add); err != nil {
		return Pushed{}, err
	}
	if err := c.uploadLarge(ctx, t, change.add); err != nil {
		return Pushed{}, err
	}
	done.Commit, err = c.commit(ctx, t, head.SHA, push.Message, change)
	return done, err
}

// state returns the files of a dataset, and those that earlier pushes wrote.
func (c *client) state(ctx context.Context, t target, head info) (there listing, last manifest, err error) {
	if there, err = c.list(ctx, t, head.SHA); err != nil {
		return there, last, err
	}
	last, err = c.manifestOf(ctx, t, there)
	return there, last, err
}

// notOurs refuses to touch files.
func (c *client) notOurs(t target, others []string) error {
	return fmt.Errorf("pushing to %s: it has %s, %w or changed since then: delete or rename this at %s/tree/%s, push under another name, or replace it with --force",
		t.name(), names(others), ErrNotOurs, c.pageOf(target{repo: t.repo}), t.ref())
}

// isUnknown reports whether an error of the hub says that there is no such dataset, or none that
// the token may see.
func isUnknown(err error) bool {
	r, refused := errors.AsType[refusal](err)
	return refused && r.code != "RevisionNotFound" && r.code != "GatedRepo" &&
		(r.status == http.StatusNotFound || r.status == http.StatusUnauthorized && r.code == "RepoNotFound")
}

// ensure returns the dataset's last commit, and makes the dataset if it is not there.
func (c *client) ensure(ctx context.Context, t target, private bool) (info, error) {
	head, err := c.commitOf(ctx, t)
	if !isUnknown(err) {
		return head, err
	}
	if err := c.create(ctx, t, private); err != nil {
		return info{}, err
	}
	return c.commitOf(ctx, t)
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

// wrote reports whether a file of the dataset is as a push wrote it.
func (m manifest) wrote(e entry) bool {
	was, known := m.Files[e.Path]
	return known && was.is(e)
}

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

// compare finds what a commit has to do, or names the files that are not ours and in its way.
func compare(files []local, there listing, last manifest, push Push) (next change, others []string) {
	remote := map[string]entry{}
	for _, e := range there.Entries {
		remote[e.Path] = e
	}
	next.manifest = manifest{
		About: "What Gleaner has pushed. Its next push replaces and deletes these files, if nothing else has changed them, and no others.",
		Files: map[string]content{},
	}
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.path] = true
		e, exists := remote[f.path]
		ours := last.wrote(e)
		switch {
		case exists && f.content.is(e):
			if ours {
				next.manifest.Files[f.path] = f.content
			}
		case exists && !ours && !push.Force:
			others = append(others, f.path)
		default:
			next.add = append(next.add, f)
			next.manifest.Files[f.path] = f.content
		}
	}
	for name, e := range remote {
		_, known := last.Files[name]
		switch {
		case wanted[name] || !known && !push.claims(name):
		case last.wrote(e) || push.Force && push.claims(name):
			next.remove = append(next.remove, name)
		case !push.Force:
			others = append(others, name)
		}
	}
	slices.SortFunc(others, natural)
	slices.SortFunc(next.add, func(a, b local) int { return cmp.Compare(a.path, b.path) })
	slices.Sort(next.remove)
	next.same = len(last.Files) == len(next.manifest.Files)
	for path, k := range next.manifest.Files {
		next.same = next.same && last.Files[path] == k
	}
	return next, others
}

// claims reports whether a file with this name is part of what is pushed.
func (p Push) claims(name string) bool {
	return slices.ContainsFunc(p.Claims, func(pattern string) bool { is, _ := path.Match(pattern, name); return is })
}
