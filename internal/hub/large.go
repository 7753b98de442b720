package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"gleaner/internal/text"
)

// lfsKind is the content type of Git LFS's API.
const lfsKind = "application/vnd.git-lfs+json"

// A lfsAction is where something is sent, as the hub says.
type lfsAction struct {
	Href   string         `json:"href"`
	Header map[string]any `json:"header"`
}

// uploadLarge sends the large files that the storage host does not have.
func (c *client) uploadLarge(ctx context.Context, t target, files []local) error {
	files = slices.DeleteFunc(slices.Clone(files), func(f local) bool { return !f.large })
	for batch := range slices.Chunk(files, 100) {
		if err := c.uploadBatch(ctx, t, batch); err != nil {
			return err
		}
	}
	return nil
}

// uploadBatch asks the hub where the files go, and sends them there one after the other.
func (c *client) uploadBatch(ctx context.Context, t target, files []local) error {
	type object struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	}
	byOID := map[string]local{}
	var objects []object
	for _, f := range files {
		if _, twice := byOID[f.content.SHA256]; !twice {
			byOID[f.content.SHA256] = f
			objects = append(objects, object{f.content.SHA256, f.size})
		}
	}
	var answer struct {
		Objects []struct {
			OID     string                               `json:"oid"`
			Actions *struct{ Upload, Verify *lfsAction } `json:"actions"`
			Error   *struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"error"`
		} `json:"objects"`
	}
	asked := map[string]any{"operation": "upload", "transfers": []string{"basic", "multipart"}, "objects": objects, "hash_algo": "sha256", "ref": map[string]string{"name": t.ref()}}
	owner, name, _ := strings.Cut(t.repo, "/")
	if err := c.postLFS(ctx, c.apiURL("datasets", owner, name+".git", "info", "lfs", "objects", "batch"), "pushing to "+t.name(), asked, &answer); err != nil {
		return err
	}
	for _, o := range answer.Objects {
		f, ok := byOID[o.OID]
		if !ok {
			continue
		}
		delete(byOID, o.OID)
		shown := "pushing " + f.path + " to " + t.name()
		if o.Error != nil {
			return fmt.Errorf("%s: the hub does not take it (%d): %s", shown, o.Error.Code, text.Printable(text.Shorten(o.Error.Message, 300)))
		}
		if o.Actions == nil || o.Actions.Upload == nil {
			c.progress(shown, f.size, f.size) // it is there
			continue
		}
		if err := c.uploadFile(ctx, f, shown, *o.Actions.Upload); err != nil {
			return err
		}
		if o.Actions.Verify != nil {
			if err := c.postLFS(ctx, c.ownURL(o.Actions.Verify.Href), shown, object{o.OID, f.size}, nil); err != nil {
				return err
			}
		}
	}
	if len(byOID) > 0 {
		return fmt.Errorf("pushing to %s: the hub's answer is none of its API: it does not say where %d files go", t.name(), len(byOID))
	}
	return nil
}

// uploadFile sends one file, whole or in the parts that the hub wants.
func (c *client) uploadFile(ctx context.Context, f local, shown string, action lfsAction) error {
	file, err := os.Open(f.file)
	if err != nil {
		return err
	}
	defer file.Close()
	chunk, hasParts := action.Header["chunk_size"]
	if !hasParts {
		_, err := c.put(ctx, c.ownURL(action.Href), part{shown, file, 0, f.size, f.size})
		return err
	}
	partBytes, err := strconv.ParseInt(fmt.Sprint(chunk), 10, 64)
	count := int64(0)
	if err == nil && partBytes > 0 {
		count = (f.size + partBytes - 1) / partBytes
	}
	if count == 0 || count > 10_000 {
		return fmt.Errorf("%s: the hub's answer is none of its API: its parts have %v bytes", shown, chunk)
	}
	type sent struct {
		Number int64  `json:"partNumber"`
		ETag   string `json:"etag"`
	}
	var parts []sent
	for n := int64(1); n <= count; n++ {
		href, ok := action.Header[strconv.FormatInt(n, 10)].(string)
		if !ok {
			return fmt.Errorf("%s: the hub's answer is none of its API: it does not say where part %d goes", shown, n)
		}
		from := (n - 1) * partBytes
		header, err := c.put(ctx, c.ownURL(href), part{shown, file, from, min(partBytes, f.size-from), f.size})
		if err != nil {
			return err
		}
		parts = append(parts, sent{n, header.Get("ETag")})
	}
	return c.postLFS(ctx, c.ownURL(action.Href), shown, map[string]any{"oid": f.content.SHA256, "parts": parts}, nil)
}

// ownURL understands an address of the hub's answer. One of the hub itself is that of the endpoint,
// which may be a mirror. What cannot be understood is refused when it is sent to.
func (c *client) ownURL(href string) *url.URL {
	if rest, ok := strings.CutPrefix(href, DefaultEndpoint+"/"); ok {
		href = strings.TrimSuffix(c.endpoint.String(), "/") + "/" + rest
	}
	u, err := url.Parse(href)
	if err != nil {
		return &url.URL{}
	}
	return u
}

// A part is a part of a file, or all of it.
type part struct {
	shown       string
	file        io.ReaderAt
	from, size  int64
	sizeOfWhole int64
}

// put sends a part of a file to a storage host, and returns the header of its answer.
func (c *client) put(ctx context.Context, u *url.URL, p part) (http.Header, error) {
	header, err := c.call(ctx, request{
		method: http.MethodPut, url: u, shown: p.shown, size: p.size,
		body: func() (io.Reader, error) {
			return &told{from: io.NewSectionReader(p.file, p.from, p.size), tell: func(n int64) { c.progress(p.shown, p.from+n, p.sizeOfWhole) }}, nil
		},
	}, nil)
	if err == nil {
		c.progress(p.shown, p.from+p.size, p.sizeOfWhole)
	}
	return header, err
}

// A told reader tells now and then how much of it was read.
type told struct {
	from       io.Reader
	read, last int64
	tell       func(int64)
}

// Read reads.
func (r *told) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.read += int64(n); r.read-r.last >= progressBytes {
		r.last = r.read
		r.tell(r.read)
	}
	return n, err
}

// postLFS sends JSON of Git LFS's API.
func (c *client) postLFS(ctx context.Context, u *url.URL, shown string, what, answer any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("%s: %w", shown, err)
	}
	_, err = c.call(ctx, request{
		method: http.MethodPost, url: u, shown: shown, size: int64(len(data)),
		header: http.Header{"Accept": {lfsKind}, "Content-Type": {lfsKind}},
		body:   func() (io.Reader, error) { return bytes.NewReader(data), nil },
	}, answer)
	return err
}

// call sends a request to where the hub says, and reads its answer if one is wanted.
func (c *client) call(ctx context.Context, r request, answer any) (http.Header, error) {
	if err := c.refuse(r.url); err != nil {
		return nil, fmt.Errorf("%s: %w", r.shown, err)
	}
	if c.endpoint.Scheme == "https" && r.url.Scheme != "https" {
		return nil, fmt.Errorf("%s: the hub wants it sent to %s, which is refused, since anyone on the way could read it", r.shown, text.Address(r.url.String()))
	}
	if answer != nil {
		return c.ask(ctx, r, answer)
	}
	var header http.Header
	err := c.try(ctx, func() (bool, error) {
		response, err := c.send(ctx, r)
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		header = response.Header
		return false, c.check(response, r.shown)
	})
	return header, err
}
