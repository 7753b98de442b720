package ollama

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ollama/ollama/api"

	"gleaner/internal/pipeline"
)

// createSilent is how long the server may be silent while it makes a model from a file of some
// gigabytes.
const createSilent = 10 * time.Minute

// Create has the server make a model from a GGUF file, which is sent to it. The template and the
// parameters are those that Ollama finds in the file. Progress, which may be nil, is called for
// each step, and with how many bytes of the file were read of how many in all.
func (c *Client) Create(ctx context.Context, name, path string, progress func(status string, done, total int64)) error {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	file, err := os.Open(path)
	if err != nil {
		return pipeline.Fail(pipeline.Fatal, "create model %s: %w", name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return pipeline.Fail(pipeline.Fatal, "create model %s: %w", name, err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, counted(ctx, file, func(done int64) { progress("reading the file", done, info.Size()) })); err != nil {
		return c.fail(ctx, "create", name, err)
	}
	digest := fmt.Sprintf("sha256:%x", sum.Sum(nil))
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return c.fail(ctx, "create", name, err)
	}
	sent := counted(ctx, file, func(done int64) { progress("sending the file", done, info.Size()) })
	if err := c.upload(ctx, digest, sent, info.Size()); err != nil {
		return c.fail(ctx, "create", name, err)
	}
	return c.steps(ctx, "create", name, "/api/create", createSilent,
		&api.CreateRequest{Model: name, Files: map[string]string{filepath.Base(path): digest}}, progress)
}

// upload gives the server a blob, unless it has it already.
func (c *Client) upload(ctx context.Context, digest string, body io.Reader, size int64) error {
	there, err := c.open(ctx, http.MethodHead, "/api/blobs/"+digest, nil)
	var missing *reply
	switch {
	case err == nil:
		return there.Body.Close()
	case !errors.As(err, &missing) || missing.status != http.StatusNotFound:
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath("/api/blobs/", digest).String(), io.NopCloser(body))
	if err != nil {
		return err
	}
	req.ContentLength = size
	resp, err := c.send(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// steps sends a request that the server answers with lines about its progress. The last one has to
// say success.
func (c *Client) steps(ctx context.Context, what, name, path string, silent time.Duration, request any, progress func(string, int64, int64)) error {
	watched, dog := watch(ctx, silent)
	defer dog.stop()
	resp, err := c.open(watched, http.MethodPost, path, request)
	if err != nil {
		return c.fail(ctx, what, name, err)
	}
	defer resp.Body.Close()
	status := ""
	err = readLines(resp.Body, func(line []byte) error {
		var next struct {
			api.ProgressResponse
			Error string `json:"error"`
		}
		if err := decodeLine(line, &next); err != nil {
			return err
		}
		if next.Error != "" {
			return streamError(next.Error)
		}
		dog.feed(silent)
		status = next.Status
		if progress != nil {
			progress(next.Status, next.Completed, next.Total)
		}
		return nil
	})
	switch {
	case errors.Is(context.Cause(watched), errStalled):
		return pipeline.Fail(pipeline.Retryable, "%s model %s on %s: %w: not a word for %v", what, name, c.URL(), pipeline.ErrStalled, silent)
	case err != nil:
		return c.fail(ctx, what, name, err)
	case status != "success":
		return pipeline.Fail(pipeline.Retryable, "%s model %s on %s: it ended after %q without success", what, name, c.URL(), status)
	}
	return nil
}

// counted returns a reader that reports how much of a file was read, and that ends with ctx.
func counted(ctx context.Context, from io.Reader, report func(done int64)) io.Reader {
	var done int64
	return readFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := from.Read(p)
		done += int64(n)
		report(done)
		return n, err
	})
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
