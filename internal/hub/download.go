package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gleaner/internal/text"
)

const (
	copyBytes     = 256 << 10 // of one read
	progressBytes = 1 << 20   // between two calls of Config.Progress
	headBytes     = 4 << 10   // by which a web page is known
)

// A download is a file that is to be fetched into partFile.
type download struct {
	url      *url.URL
	shown    string
	partFile string
	want     *entry      // what the hub says of it; nil for a file elsewhere
	known    http.Header // conditions under which the file need not be sent
	maxBytes int64
}

// partState is what is written down beside a file that is being downloaded.
type partState struct {
	ETag         string `json:"etag"` // as the server writes it
	LastModified string `json:"last_modified"`
	Total        int64  `json:"total"` // bytes; -1: not known
	Name         string `json:"name"`  // by Content-Disposition; may be empty
}

func (d download) stateFile() string { return d.partFile + ".json" }

// discard takes away what is there of the file.
func (d download) discard() {
	_ = os.Remove(d.partFile)
	_ = os.Remove(d.stateFile())
}

// progressed returns how many bytes there are, and what is known of them.
func (d download) progressed() (int64, partState) {
	state := partState{Total: -1}
	info, err := os.Stat(d.partFile)
	if err != nil || !readJSON(d.stateFile(), &state) {
		return 0, partState{Total: -1}
	}
	n := info.Size()
	switch {
	case d.want != nil && n > d.want.Size, state.Total >= 0 && n > state.Total:
		return 0, partState{Total: -1}
	case d.want == nil && (!isStrong(state.ETag) && state.LastModified == "" || n == state.Total):
		return 0, partState{Total: -1} // another file may have taken its name since
	}
	return n, state
}

// isStrong reports whether an ETag promises that each byte is the same.
func isStrong(etag string) bool { return strings.HasPrefix(etag, `"`) && len(etag) > 2 }

// run fetches the file, in as many tries as it takes, and checks it. It reports false where the
// conditions hold and nothing was sent.
func (c *client) run(ctx context.Context, d download) (state partState, sent bool, err error) {
	furthest, _ := d.progressed()
	repeated := false
	err = c.try(ctx, func() (bool, error) {
		sent, err = c.runOnce(ctx, d)
		now, _ := d.progressed()
		progress := now > furthest
		furthest = max(furthest, now)
		if err != nil || !sent {
			return progress, err
		}
		if err := d.verify(ctx); err != nil {
			d.discard()
			furthest = 0
			if repeated {
				return false, err
			}
			repeated = true
			return false, temporary{error: err}
		}
		return progress, nil
	})
	if err == nil && sent {
		readJSON(d.stateFile(), &state)
	}
	return state, sent, err
}

// runOnce goes on with the download until it ends or breaks.
func (c *client) runOnce(ctx context.Context, d download) (sent bool, err error) {
	offset, state := d.progressed()
	if offset > 0 && d.want != nil && offset == d.want.Size {
		return true, nil
	}
	response, err := c.send(ctx, request{method: http.MethodGet, url: d.url, shown: d.shown, header: d.conditions(offset, state)})
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusNotModified:
		return false, nil
	case http.StatusRequestedRangeNotSatisfiable:
		d.discard()
		return false, temporary{error: fmt.Errorf("%s: its server has no more than there is already", d.shown)}
	}
	if err := c.check(response, d.shown); err != nil {
		return false, d.redirected(response, err)
	}
	total := response.ContentLength
	switch response.StatusCode {
	case http.StatusOK, http.StatusNonAuthoritativeInfo:
		offset = 0
	case http.StatusPartialContent:
		if total, err = continued(response, offset, state); err != nil {
			d.discard()
			return false, temporary{error: fmt.Errorf("%s: %w", d.shown, err)}
		}
	default:
		return false, refusal{status: response.StatusCode, shown: d.shown}
	}
	if err := c.checkSize(d, total, offset); err != nil {
		return false, err
	}
	if total < 0 && d.want != nil {
		total = d.want.Size
	}
	state = partState{response.Header.Get("ETag"), response.Header.Get("Last-Modified"), total, nameOf(response.Header)}
	return true, c.write(ctx, d, response, offset, state)
}

// redirected makes the refusal of a host that we were redirected to temporary: the address that it
// was given may have expired, and the next try gets another one.
func (d download) redirected(response *http.Response, err error) error {
	r, ok := err.(refusal)
	if !ok || sameOrigin(response.Request.URL, d.url) {
		return err
	}
	r.elsewhere = true
	return temporary{error: r}
}

// conditions returns the header of a request for what is not there yet.
func (d download) conditions(offset int64, state partState) http.Header {
	header := http.Header{"Accept-Encoding": {"identity"}} // ranges and lengths are those of the file
	if offset == 0 {
		for name, values := range d.known {
			header[name] = values
		}
		return header
	}
	header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	switch {
	case isStrong(state.ETag):
		header.Set("If-Range", state.ETag)
	case state.LastModified != "" && d.want == nil: // else the hash tells whether it was the same file
		header.Set("If-Range", state.LastModified)
	}
	return header
}

// continued checks that an answer goes on where we are, in the same file, and returns the size of
// the whole.
func continued(response *http.Response, offset int64, state partState) (int64, error) {
	got := response.Header.Get("Content-Range")
	m := regexp.MustCompile(`^bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)$`).FindStringSubmatch(strings.TrimSpace(got))
	if m == nil {
		return 0, fmt.Errorf("its server answers with the range %q", text.Shorten(got, 100))
	}
	if start, _ := strconv.ParseInt(m[1], 10, 64); start != offset {
		return 0, fmt.Errorf("its server goes on at byte %d and not at %d", start, offset)
	}
	if now := response.Header.Get("ETag"); now != state.ETag && isStrong(now) && isStrong(state.ETag) {
		return 0, errors.New("the file has changed since the download began, which begins again")
	}
	total := int64(-1)
	if m[2] != "*" {
		total, _ = strconv.ParseInt(m[2], 10, 64)
	}
	return total, nil
}

// checkSize refuses a file that is not the one that the hub has listed, is too large, or has no
// room.
func (c *client) checkSize(d download, total, offset int64) error {
	switch {
	case d.want != nil && total >= 0 && total != d.want.Size:
		return fmt.Errorf("%s: the hub lists it with %d bytes, and its server has %d: try again later", d.shown, d.want.Size, total)
	case total > d.maxBytes:
		return fmt.Errorf("%s: %w: it has %s, and %s are allowed", d.shown, ErrTooLarge, size(total), size(d.maxBytes))
	}
	return c.checkRoom(d.shown, total-offset)
}

// write appends the body to what is there.
func (c *client) write(ctx context.Context, d download, response *http.Response, offset int64, state partState) (err error) {
	buffer := make([]byte, copyBytes)
	n := 0
	if offset == 0 {
		if n, err = io.ReadFull(response.Body, buffer[:headBytes]); err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
			return c.explainNetwork(ctx, d.shown, err)
		}
		if isPage(response.Header, buffer[:n]) && !strings.HasSuffix(strings.ToLower(d.url.Path), ".html") {
			return c.pageError(d.shown, d.url, buffer[:n])
		}
	}
	file, err := d.open(offset, state)
	if err != nil {
		return err
	}
	defer func() {
		if closed := file.Close(); err == nil && closed != nil {
			err = diskError(closed, filepath.Dir(d.partFile))
		}
	}()
	done, told := offset, offset
	c.progress(d.shown, done, state.Total)
	for {
		done += int64(n)
		if done > d.maxBytes || d.want != nil && done > d.want.Size {
			d.discard()
			return fmt.Errorf("%s: %w: its server sends more than %s", d.shown, ErrTooLarge, size(done-int64(n)))
		}
		if _, err := file.Write(buffer[:n]); err != nil {
			return diskError(err, filepath.Dir(d.partFile))
		}
		if done-told >= progressBytes {
			told = done
			c.progress(d.shown, done, state.Total)
		}
		if n, err = response.Body.Read(buffer); err == nil {
			continue
		}
		if _, failed := file.Write(buffer[:n]); failed != nil {
			return diskError(failed, filepath.Dir(d.partFile))
		}
		if done += int64(n); err != io.EOF {
			return c.explainNetwork(ctx, d.shown, fmt.Errorf("the connection ended after %d bytes: %w", done, err))
		}
		break
	}
	c.progress(d.shown, done, state.Total)
	if state.Total >= 0 && done < state.Total || d.want != nil && done < d.want.Size {
		return temporary{error: fmt.Errorf("%s: the connection ended after %d bytes", d.shown, done)}
	}
	if state.Total < 0 { // so that a next try knows that this is all
		state.Total = done
		if err := writeJSON(d.stateFile(), state); err != nil {
			return err
		}
	}
	if err := file.Sync(); err != nil {
		return diskError(err, filepath.Dir(d.partFile))
	}
	return nil
}

// open opens the file at the offset. Its state is written first: bytes without one count for
// nothing.
func (d download) open(offset int64, state partState) (*os.File, error) {
	if offset == 0 {
		d.discard()
	}
	if err := writeJSON(d.stateFile(), state); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(d.partFile, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, diskError(err, filepath.Dir(d.partFile))
	}
	err = file.Truncate(offset)
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, diskError(err, filepath.Dir(d.partFile))
	}
	return file, nil
}
