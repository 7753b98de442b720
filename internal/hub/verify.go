package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gleaner/internal/text"
)

// verify checks that the file is the one that the hub has listed, and no pointer to one.
func (d download) verify(ctx context.Context) error {
	if err := d.checkPointer(); err != nil || d.want == nil {
		return err
	}
	var sum hash.Hash
	if d.want.LFS != "" {
		sum = sha256.New()
	} else {
		sum = gitHash(d.want.Size)
	}
	got, err := hashFile(ctx, d.partFile, sum)
	if err != nil {
		return diskError(err, filepath.Dir(d.partFile))
	}
	if got != d.want.key() {
		return fmt.Errorf("%s: what came is not what the hub lists: its hash is %s and not %s. Something on the way changes the data: try another network", d.shown, got, d.want.key())
	}
	return nil
}

// gitHash is how git hashes a file's content of this size.
func gitHash(size int64) hash.Hash {
	sum := sha1.New()
	fmt.Fprintf(sum, "blob %d\x00", size)
	return sum
}

func hashFile(ctx context.Context, path string, sum hash.Hash) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if _, err := io.Copy(sum, until{ctx, file}); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// until is a reader that ends with a context: a large file is read for minutes.
type until struct {
	ctx    context.Context
	reader io.Reader
}

// Read implements io.Reader.
func (u until) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.reader.Read(p)
}

// checkPointer refuses a pointer of Git LFS, which stands for a file that lies elsewhere.
func (d download) checkPointer() error {
	const begin = "version https://git-lfs.github.com/spec/v1"
	info, err := os.Stat(d.partFile)
	if err != nil || info.Size() > 1024 || info.Size() < int64(len(begin)) {
		return nil
	}
	data, err := os.ReadFile(d.partFile)
	if err != nil || !strings.HasPrefix(string(data), begin) {
		return nil
	}
	advice := "in the repository itself its data is missing: ask its owner"
	host := strings.ToLower(d.url.Hostname())
	parts := strings.Split(strings.Trim(d.url.Path, "/"), "/")
	switch {
	case d.want != nil:
	case host == "raw.githubusercontent.com":
		advice = "give https://media.githubusercontent.com/media" + d.url.Path
	case host == "github.com" && len(parts) > 4:
		advice = fmt.Sprintf("give https://media.githubusercontent.com/media/%s/%s/%s", parts[0], parts[1], strings.Join(parts[3:], "/"))
	case strings.Contains(d.url.Path, "/raw/"):
		advice = "give its address with /resolve/ in the place of /raw/"
	default:
		advice = "the file itself lies elsewhere: run `git lfs pull` in a clone of its repository, and give the path"
	}
	return fmt.Errorf("%s is a pointer of Git LFS and not the data: %s", d.shown, text.Printable(advice))
}

// nameOf returns the name that a server gives a file.
func nameOf(header http.Header) string {
	m := regexp.MustCompile(`(?i)filename\*?=(?:UTF-8'')?"?([^";]{1,200})"?`).FindStringSubmatch(header.Get("Content-Disposition"))
	if m == nil {
		return ""
	}
	name := m[1]
	if decoded, err := url.PathUnescape(name); err == nil {
		name = decoded
	}
	return safeName(filepath.Base(strings.ReplaceAll(name, `\`, "/")))
}
