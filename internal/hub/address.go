package hub

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gleaner/internal/text"
)

// scheme of the addresses of the hub's datasets, with the only kind of repository that has rows.
const (
	datasetScheme = "hf://datasets/"
	mainRevision  = "main"
	convertRefs   = "refs/convert/"
)

// A target is an address that was understood: a dataset of the hub, or the URL of a file.
type target struct {
	repo     string // OWNER/NAME; empty for the URL of a file
	revision string // as it was given; empty for the main branch
	path     string // of a file or a folder in the dataset, or a glob; may be empty

	subset, split string // where the address is that of the dataset viewer

	url *url.URL // of a file
}

// shown returns the address without what is secret.
func (t target) shown() string {
	if t.repo == "" {
		return text.Printable(text.Address(t.url.String()))
	}
	shown := t.name()
	if t.path != "" {
		shown += "/" + t.path
	}
	return text.Printable(shown)
}

// name returns the address of the dataset, with the revision if one was given.
func (t target) name() string {
	if t.revision == "" {
		return datasetScheme + t.repo
	}
	return datasetScheme + t.repo + "@" + t.revision
}

// ref returns the revision that is asked of the hub.
func (t target) ref() string {
	if t.revision == "" {
		return mainRevision
	}
	return t.revision
}

// schemeOf returns the scheme of an address in lower case, and what follows ://.
func schemeOf(input string) (scheme, rest string) {
	scheme, rest, found := strings.Cut(input, "://")
	if !found {
		return "", input
	}
	return strings.ToLower(scheme), rest
}

// parse understands an address. It asks nothing of anyone.
func (c *client) parse(input string) (target, error) {
	scheme, rest := schemeOf(input)
	switch scheme {
	case "hf":
		return parseDataset(rest)
	case "https", "http":
		return c.parseURL(input)
	}
	return target{}, fmt.Errorf("%q is no address: write https://… or %sOWNER/NAME", text.Shorten(text.Address(input), 200), datasetScheme)
}

// parseDataset understands what follows hf://.
func parseDataset(rest string) (target, error) {
	shown := "hf://" + text.Printable(text.Shorten(rest, 200))
	kind, rest, _ := strings.Cut(rest, "/")
	switch kind {
	case "datasets":
	case "models", "spaces", "buckets", "kernels":
		return target{}, fmt.Errorf("%s holds no rows: only datasets can be read, as %sOWNER/NAME", shown, datasetScheme)
	default:
		return target{}, fmt.Errorf("%s is the address of a model: a dataset's is %s%s/%s", shown, datasetScheme, text.Printable(kind), text.Printable(rest))
	}
	owner, rest, _ := strings.Cut(rest, "/")
	// A revision ends the name, and both may be followed by a path.
	name, tail := rest, ""
	if end := strings.IndexAny(rest, "@/"); end >= 0 {
		name, tail = rest[:end], rest[end:]
	}
	t := target{repo: owner + "/" + name}
	if !isRepoName(owner) || !isRepoName(name) {
		return target{}, fmt.Errorf("%s is no dataset of the hub: write %sOWNER/NAME, as in %sopenai/gsm8k", shown, datasetScheme, datasetScheme)
	}
	if revision, ok := strings.CutPrefix(tail, "@"); ok {
		t.revision, tail = cutRevision(revision)
		if err := checkRevision(t.revision); err != nil {
			return target{}, fmt.Errorf("%s: %w", shown, err)
		}
	}
	return t.withPath(strings.TrimPrefix(tail, "/"))
}

// withPath adds a path, of which each part is checked.
func (t target) withPath(path string) (target, error) {
	t.path = strings.TrimSuffix(path, "/")
	if t.path == "" {
		return t, nil
	}
	for part := range strings.SplitSeq(t.path, "/") {
		if part == "" || part == "." || part == ".." {
			return target{}, fmt.Errorf("%s: the path in it has the part %q, which no file of a dataset has", t.shown(), part)
		}
	}
	return t, nil
}

// cutRevision returns the revision at the beginning of what follows the @, and the rest.
func cutRevision(s string) (revision, rest string) {
	special := regexp.MustCompile(`^refs/(?:convert/[\w.-]+|pr/\d+)`)
	revision = special.FindString(s)
	if revision == "" {
		revision, _, _ = strings.Cut(s, "/")
	}
	rest = s[len(revision):]
	if decoded, err := url.PathUnescape(revision); err == nil {
		revision = decoded
	}
	return revision, rest
}

func checkRevision(revision string) error {
	if revision == "" || len(revision) > 250 || strings.Contains(revision, "..") || strings.ContainsFunc(revision, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`\?*[:^~`, r) }) {
		return fmt.Errorf("%q is no revision: write a branch, a tag or a commit's hash after the @", text.Shorten(revision, 100))
	}
	return nil
}

func isRepoName(name string) bool {
	return len(name) <= 96 && regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`).MatchString(name) && !strings.Contains(name, "..")
}

// parseURL understands an https:// address: that of a page of the hub is its dataset's.
func (c *client) parseURL(input string) (target, error) {
	u, err := url.Parse(input)
	if err != nil || u.Host == "" {
		return target{}, fmt.Errorf("%q is no address: write it as https://host/path", text.Shorten(text.Address(input), 200))
	}
	if err := c.refuse(u); err != nil {
		return target{}, err
	}
	if segments, ok := c.hubRoute(u); ok {
		return parseRoute(u, segments)
	}
	return target{url: u}, nil
}

// hubRoute returns the parts of the path behind /datasets/, where a URL is one of the hub.
func (c *client) hubRoute(u *url.URL) ([]string, bool) {
	path := u.EscapedPath()
	switch {
	case sameOrigin(u, c.endpoint):
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(c.endpoint.EscapedPath(), "/"))
		if !ok {
			return nil, false
		}
		path = rest
	case slices.Contains([]string{"huggingface.co", "hf.co", "www.huggingface.co"}, strings.ToLower(u.Hostname())):
	default:
		return nil, false
	}
	path, ok := strings.CutPrefix(path, "/datasets/")
	if !ok {
		return nil, false
	}
	return strings.Split(strings.Trim(path, "/"), "/"), true
}

// parseRoute understands the path of a page of the hub, of a file as it shows and as it serves it.
func parseRoute(u *url.URL, segments []string) (target, error) {
	unknown := fmt.Errorf("%s is a page of the hub without rows: write %sOWNER/NAME", text.Address(u.String()), datasetScheme)
	if len(segments) < 2 || !isRepoName(segments[0]) || !isRepoName(segments[1]) {
		return target{}, unknown
	}
	t := target{repo: segments[0] + "/" + segments[1]}
	if len(segments) == 2 {
		return t, nil
	}
	var rest []string
	for _, s := range segments[2:] {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return target{}, unknown
		}
		rest = append(rest, decoded)
	}
	switch action := rest[0]; action {
	case "viewer":
		if len(rest) > 1 {
			t.subset = rest[1]
		}
		if len(rest) > 2 {
			t.split = rest[2]
		}
		return t, nil
	case "tree", "blob", "resolve", "raw":
		revision, path := cutRevision(strings.Join(rest[1:], "/"))
		if err := checkRevision(revision); err != nil {
			return target{}, fmt.Errorf("%s: %w", text.Address(u.String()), err)
		}
		if t.revision = revision; revision == mainRevision {
			t.revision = ""
		}
		return t.withPath(strings.TrimPrefix(path, "/"))
	}
	return target{}, unknown
}

// refuse returns why a URL may not be read, or nil.
func (c *client) refuse(u *url.URL) error {
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return fmt.Errorf("%s: only https:// is read", text.Address(u.String()))
	case isLoopback(u.Hostname()) || c.cfg.PlainHTTP || sameOrigin(u, c.endpoint):
		return nil
	}
	return fmt.Errorf("%s is refused, since anyone on the way can change what comes over http://: write https:// instead, or download the file yourself and give its path",
		text.Address(u.String()))
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// sameOrigin reports whether two URLs have the same scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// parseEndpoint understands the address of a hub.
func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(endpoint, "/"))
	switch {
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("HF_ENDPOINT is %q, which is no address: write https://host", text.Address(endpoint))
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("HF_ENDPOINT is %q: write https://host", text.Address(endpoint))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("HF_ENDPOINT may have no user, query or fragment: write https://host, and put the token into HF_TOKEN")
	}
	return u, nil
}
