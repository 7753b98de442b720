package hub

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"gleaner/internal/text"
)

// commitPatience is how long the hub may take for a commit.
const commitPatience = 10 * time.Minute

// modes asks the hub for each file whether it goes into the commit or to the storage host.
func (c *client) modes(ctx context.Context, t target, files []local) error {
	type asked struct {
		Path   string `json:"path"`
		Sample []byte `json:"sample"` // base64
		Size   int64  `json:"size"`
	}
	u := c.apiURL(append(append([]string{"api", "datasets"}, strings.Split(t.repo, "/")...), "preupload", t.ref())...)
	byPath := map[string]*local{}
	for i := range files {
		byPath[files[i].path] = &files[i]
	}
	for batch := range slices.Chunk(files, 256) {
		all := []asked{}
		for _, f := range batch {
			sample, err := f.sample()
			if err != nil {
				return err
			}
			all = append(all, asked{f.path, sample, f.size})
		}
		var answer struct {
			Files []struct {
				Path, UploadMode string
				ShouldIgnore     bool
			}
		}
		if err := c.post(ctx, u, "pushing to "+t.name(), map[string]any{"files": all}, &answer); err != nil {
			return err
		}
		answered := 0
		for _, one := range answer.Files {
			f, ok := byPath[one.Path]
			if !ok {
				continue
			}
			answered++
			if one.ShouldIgnore {
				return fmt.Errorf("pushing to %s: the .gitignore of the dataset leaves out %s: take that line out of it", t.name(), text.Printable(one.Path))
			}
			f.large = one.UploadMode == "lfs" && f.size > 0 // storage hosts take no empty files
		}
		if answered != len(batch) {
			return fmt.Errorf("pushing to %s: the hub's answer is none of its API: it says of %d of %d files how to send them", t.name(), answered, len(batch))
		}
	}
	return nil
}

// commit makes a commit that follows head. Where it is not known whether it was made the error is
// temporary: the next comparison finds out.
func (c *client) commit(ctx context.Context, t target, head, message string, next change) (string, error) {
	lines, err := os.CreateTemp("", "gleaner-commit-*")
	if err != nil {
		return "", diskError(err, os.TempDir())
	}
	defer func() {
		_ = lines.Close()
		_ = os.Remove(lines.Name())
	}()
	bytes, err := writeCommit(lines, head, message, next)
	if err != nil {
		return "", fmt.Errorf("pushing to %s: %w", t.name(), err)
	}
	r := request{
		method: http.MethodPost, shown: "pushing to " + t.name(), size: bytes, patience: commitPatience,
		url:    c.apiURL(append(append([]string{"api", "datasets"}, strings.Split(t.repo, "/")...), "commit", t.ref())...),
		header: http.Header{"Content-Type": {"application/x-ndjson"}},
		body:   func() (io.Reader, error) { return io.NewSectionReader(lines, 0, bytes), nil },
	}
	response, err := c.send(ctx, r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if err := c.check(response, r.shown); err != nil {
		if refused, ok := errors.AsType[refusal](err); ok && (refused.status == http.StatusConflict || refused.status == http.StatusPreconditionFailed) {
			return "", temporary{error: err} // another commit came between
		}
		return "", err
	}
	var answer struct {
		OID string `json:"commitOid"`
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || json.Unmarshal(data, &answer) != nil || !isCommit(answer.OID) {
		return "", temporary{error: fmt.Errorf("%s: the hub's answer names no commit: %v", r.shown, err)}
	}
	return answer.OID, nil
}

// writeCommit writes the lines of a commit: its header, the files, where large ones are, and what
// is deleted.
func writeCommit(file *os.File, head, message string, next change) (int64, error) {
	w := bufio.NewWriter(file)
	summary, description, _ := strings.Cut(strings.TrimSpace(message), "\n")
	if summary == "" {
		summary = "Push by Gleaner"
	}
	line := func(key string, value any) error {
		data, err := json.Marshal(map[string]any{"key": key, "value": value})
		if err == nil {
			_, err = w.Write(append(data, '\n'))
		}
		return err
	}
	errs := []error{line("header", map[string]string{"summary": summary, "description": strings.TrimSpace(description), "parentCommit": head})}
	for _, f := range next.add {
		if f.large {
			errs = append(errs, line("lfsFile", map[string]any{"path": f.path, "algo": "sha256", "oid": f.content.SHA256, "size": f.size}))
			continue
		}
		errs = append(errs, writeFile(w, f))
	}
	for _, path := range next.remove {
		errs = append(errs, line("deletedFile", map[string]string{"path": path}))
	}
	if !next.same {
		errs = append(errs, line("file", map[string]any{"path": manifestName, "encoding": "base64", "content": next.manifest.encode()}))
	}
	if err := errors.Join(append(errs, w.Flush())...); err != nil {
		return 0, err
	}
	return file.Seek(0, io.SeekCurrent)
}

// writeFile writes the line of a file that goes into the commit, without having it in memory. It
// checks that the file is the one that was compared.
func writeFile(w *bufio.Writer, f local) error {
	file, err := os.Open(f.file)
	if err != nil {
		return err
	}
	defer file.Close()
	path, err := json.Marshal(f.path)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, `{"key":"file","value":{"path":%s,"encoding":"base64","content":"`, path); err != nil {
		return err
	}
	git := gitHash(f.size)
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	_, err = io.Copy(io.MultiWriter(encoder, git), file)
	if err = errors.Join(err, encoder.Close()); err != nil {
		return err
	}
	if fmt.Sprintf("%x", git.Sum(nil)) != f.content.Git {
		return fmt.Errorf("%s changes while it is pushed: push once its export is done", f.file)
	}
	_, err = w.WriteString("\"}}\n")
	return err
}
