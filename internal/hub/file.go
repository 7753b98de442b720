package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"time"

	"gleaner/internal/text"
)

// A version is a file elsewhere as it was when it was fetched.
type version struct {
	ETag         string    `json:"etag"`
	LastModified string    `json:"last_modified"`
	Digest       string    `json:"digest"` // SHA-256
	Size         int64     `json:"size"`
	Name         string    `json:"name"`
	Fetched      time.Time `json:"fetched"`
}

// fetchFile downloads a file from a server that is no hub, unless it is there and has not changed.
func (c *client) fetchFile(ctx context.Context, t target) (Fetched, error) {
	sum := sha256.Sum256([]byte(t.url.String()))
	folder := filepath.Join(c.cfg.CacheDir, "web", hex.EncodeToString(sum[:16]))
	current := filepath.Join(folder, "current.json")
	unlock, err := lock(ctx, filepath.Join(folder, "file"))
	if err != nil {
		return Fetched{}, err
	}
	defer unlock()
	var last version
	known := readJSON(current, &last) && isDigest(last.Digest) && hasSize(last.path(folder), last.Size)
	if c.cfg.Offline {
		if !known {
			return Fetched{}, fmt.Errorf("%s: %w", t.shown(), errOffline)
		}
		return last.fetched(t, folder), nil
	}
	d := download{url: t.url, shown: t.shown(), partFile: filepath.Join(folder, "file.part"), maxBytes: c.cfg.MaxBytes}
	if known {
		d.known = last.conditions()
	}
	state, sent, err := c.run(ctx, d)
	switch {
	case err != nil && known:
		return Fetched{}, c.kept(current, c.explainFile(t, err))
	case err != nil:
		return Fetched{}, c.explainFile(t, err)
	case !sent && !known:
		return Fetched{}, fmt.Errorf("%s: its server says that the file has not changed, and was never asked that", t.shown())
	case !sent:
		return last.fetched(t, folder), nil
	}
	digest, err := hashFile(ctx, d.partFile, sha256.New())
	if err != nil {
		return Fetched{}, diskError(err, folder)
	}
	info, err := os.Stat(d.partFile)
	if err != nil {
		return Fetched{}, diskError(err, folder)
	}
	now := version{state.ETag, state.LastModified, digest, info.Size(), c.fileName(t, state), time.Now().UTC()}
	if err := os.MkdirAll(filepath.Dir(now.path(folder)), 0o700); err != nil {
		return Fetched{}, diskError(err, folder)
	}
	if hasSize(now.path(folder), now.Size) { // by its digest the same file
		d.discard()
	} else if err := d.finish(now.path(folder)); err != nil {
		return Fetched{}, err
	}
	return now.fetched(t, folder), writeJSON(current, now)
}

// fileName returns what a file is called: as its server says, else as its address ends.
func (c *client) fileName(t target, state partState) string {
	name := state.Name
	if base := path.Base(t.url.Path); name == "" && base != "/" && base != "." {
		name = base
	}
	return safeName(first(name, t.url.Hostname()))
}

func (v version) path(folder string) string {
	return filepath.Join(folder, v.Digest[:16], safeName(v.Name))
}

// conditions asks for the file only if it has changed.
func (v version) conditions() http.Header {
	header := http.Header{}
	switch {
	case v.ETag != "":
		header.Set("If-None-Match", v.ETag)
	case v.LastModified != "":
		header.Set("If-Modified-Since", v.LastModified)
	}
	return header
}

func (v version) fetched(t target, folder string) Fetched {
	return Fetched{
		Name:     text.Printable(v.Name),
		Revision: "sha256:" + v.Digest,
		Files:    []string{v.path(folder)},
		Shown:    []string{t.shown()},
	}
}
