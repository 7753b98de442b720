package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"gleaner/internal/text"
)

// Bounds of the hub's answers.
const (
	maxAnswer = 64 << 20 // bytes of one answer of the API
	maxFiles  = 500_000  // of a dataset
)

// An entry is a file of a dataset at one commit.
type entry struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes
	OID  string `json:"oid"`  // SHA-1 of its git blob; of a large file that of its pointer
	LFS  string `json:"lfs"`  // SHA-256 of a large file; empty for others
}

// key names the content of a file.
func (e entry) key() string {
	if e.LFS != "" {
		return e.LFS
	}
	return e.OID
}

// A listing is a dataset at one commit.
type listing struct {
	Commit  string  `json:"commit"`
	Entries []entry `json:"entries"`
}

// find returns the file of a path.
func (l listing) find(path string) (entry, bool) {
	for _, e := range l.Entries {
		if e.Path == path {
			return e, true
		}
	}
	return entry{}, false
}

// apiURL returns a URL below the endpoint. Each part is escaped, also a / in it.
func (c *client) apiURL(parts ...string) *url.URL {
	var path, raw strings.Builder
	path.WriteString(strings.TrimSuffix(c.endpoint.Path, "/"))
	raw.WriteString(strings.TrimSuffix(c.endpoint.EscapedPath(), "/"))
	for _, p := range parts {
		path.WriteString("/" + p)
		raw.WriteString("/" + url.PathEscape(p))
	}
	u := *c.endpoint
	u.Path, u.RawPath = path.String(), raw.String()
	return &u
}

// ask sends a request of the API and returns its answer, which is JSON.
func (c *client) ask(ctx context.Context, r request, answer any) (http.Header, error) {
	var header http.Header
	err := c.try(ctx, func() (bool, error) {
		response, err := c.send(ctx, r)
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		if err := c.check(response, r.shown); err != nil {
			return false, err
		}
		data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
		switch {
		case err != nil:
			return false, c.explainNetwork(ctx, r.shown, err)
		case len(data) > maxAnswer:
			return false, fmt.Errorf("%s: the hub's answer has more than %d MiB", r.shown, maxAnswer>>20)
		case isPage(response.Header, data):
			return false, fmt.Errorf("%w (is HF_ENDPOINT, now %s, the address of a hub?)", c.pageError(r.shown, nil, data), text.Address(c.endpoint.String()))
		}
		header = response.Header
		if err := json.Unmarshal(data, answer); err != nil {
			return false, fmt.Errorf("%s: the hub's answer is none of its API: %w", r.shown, err)
		}
		return true, nil
	})
	return header, err
}

// get asks the API for something.
func (c *client) get(ctx context.Context, u *url.URL, shown string, answer any) (http.Header, error) {
	return c.ask(ctx, request{method: http.MethodGet, url: u, shown: shown}, answer)
}

// post sends something to the API as JSON.
func (c *client) post(ctx context.Context, u *url.URL, shown string, what, answer any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("%s: %w", shown, err)
	}
	_, err = c.ask(ctx, request{
		method: http.MethodPost, url: u, shown: shown, size: int64(len(data)),
		header: http.Header{"Content-Type": {"application/json"}},
		body:   func() (io.Reader, error) { return bytes.NewReader(data), nil },
	}, answer)
	return err
}

// info is what the hub says of a dataset at a revision.
type info struct {
	ID       string `json:"id"`
	SHA      string `json:"sha"`
	Private  bool   `json:"private"`
	Disabled bool   `json:"disabled"`
}

// commitOf asks which commit a revision of a dataset is.
func (c *client) commitOf(ctx context.Context, t target) (info, error) {
	u := c.apiURL(append(append([]string{"api", "datasets"}, strings.Split(t.repo, "/")...), "revision", t.ref())...)
	u.RawQuery = "expand=sha&expand=private&expand=disabled" // and not the names of all files
	var got info
	if _, err := c.get(ctx, u, t.name(), &got); err != nil {
		return info{}, err
	}
	if !isCommit(got.SHA) {
		return info{}, fmt.Errorf("%s: the hub names no commit, but %q", t.name(), text.Shorten(got.SHA, 100))
	}
	return got, nil
}

// isCommit reports whether a revision is the whole hash of a commit.
func isCommit(s string) bool { return regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(s) }

// isDigest reports whether a text is the hash of a file's content: SHA-1 or SHA-256.
func isDigest(s string) bool {
	return regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`).MatchString(s)
}

// list asks for all files of a dataset at a commit.
func (c *client) list(ctx context.Context, t target, commit string) (listing, error) {
	u := c.apiURL(append(append([]string{"api", "datasets"}, strings.Split(t.repo, "/")...), "tree", commit)...)
	u.RawQuery = "recursive=true&expand=false"
	all := listing{Commit: commit}
	seen := map[string]bool{}
	for u != nil {
		if seen[u.String()] {
			return listing{}, fmt.Errorf("%s: the hub's list of its files has no end", t.name())
		}
		seen[u.String()] = true
		var page []struct {
			Type string `json:"type"`
			entry
			LFS *struct {
				OID  string `json:"oid"`
				Size int64  `json:"size"`
			} `json:"lfs"`
		}
		header, err := c.get(ctx, u, t.name(), &page)
		if err != nil {
			return listing{}, err
		}
		for _, p := range page {
			if p.Type != "file" {
				continue
			}
			e := p.entry
			if e.LFS = ""; p.LFS != nil {
				e.LFS, e.Size = strings.TrimPrefix(p.LFS.OID, "sha256:"), p.LFS.Size
			}
			if err := checkEntry(e); err != nil {
				return listing{}, fmt.Errorf("%s: %w", t.name(), err)
			}
			all.Entries = append(all.Entries, e)
		}
		if len(all.Entries) > maxFiles {
			return listing{}, fmt.Errorf("%s has more than %d files: give the address of one of its files", t.name(), maxFiles)
		}
		if u, err = c.nextPage(u, header); err != nil {
			return listing{}, fmt.Errorf("%s: %w", t.name(), err)
		}
	}
	return all, nil
}

// checkEntry refuses what no hub would say of a file.
func checkEntry(e entry) error {
	if e.Path == "" || e.Size < 0 || !isDigest(e.key()) {
		return fmt.Errorf("the hub's list has a file without name, size or hash: %q", text.Shorten(e.Path, 100))
	}
	return nil
}

// nextPage returns where a list goes on, or nil at its end. It has to be at the hub, which gets the
// token.
func (c *client) nextPage(u *url.URL, header http.Header) (*url.URL, error) {
	for _, link := range header.Values("Link") {
		for part := range strings.SplitSeq(link, ",") {
			found := regexp.MustCompile(`^\s*<([^>]+)>.*;\s*rel="?next"?`).FindStringSubmatch(part)
			if found == nil {
				continue
			}
			next, err := u.Parse(found[1])
			if err != nil || !sameOrigin(next, c.endpoint) {
				return nil, errors.New("the hub's list goes on at another server")
			}
			return next, nil
		}
	}
	return nil, nil
}

// revisions returns the branches and tags of a dataset, or none where the hub does not say.
func (c *client) revisions(ctx context.Context, t target) (names []string) {
	type ref struct {
		Name string `json:"name"`
	}
	var refs struct{ Branches, Converts, Tags []ref }
	u := c.apiURL(append(append([]string{"api", "datasets"}, strings.Split(t.repo, "/")...), "refs")...)
	if _, err := c.get(ctx, u, t.name(), &refs); err != nil {
		return nil
	}
	for _, r := range append(append(refs.Branches, refs.Tags...), refs.Converts...) {
		names = append(names, r.Name)
	}
	return names
}

// datasetsOf returns some datasets of an owner, or none where the hub does not say.
func (c *client) datasetsOf(ctx context.Context, owner string) (names []string) {
	var all []info
	u := c.apiURL("api", "datasets")
	u.RawQuery = url.Values{"author": {owner}, "limit": {"200"}}.Encode()
	if _, err := c.get(ctx, u, datasetScheme+owner, &all); err != nil {
		return nil
	}
	for _, d := range all {
		names = append(names, d.ID)
	}
	return names
}
