package hub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gleaner/internal/text"
)

var (
	errIdle    = errors.New("nothing came any more")
	errOffline = errors.New("HF_HUB_OFFLINE is set, and this is not in the cache: unset it, or fetch it once while online")
)

// temporary is an error that another try may not meet.
type temporary struct {
	error
	after time.Duration // that the server asks us to wait
}

func (t temporary) Unwrap() error { return t.error }

// final is an error that is not the network's.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// A refusal is an answer that is none: what a server said in place of what was asked for.
type refusal struct {
	status int
	code   string // of the hub, as in GatedRepo; may be empty
	said   string // by the server, shortened; may be empty
	shown  string // what was asked for

	elsewhere bool // it comes from a host that the hub sent us to
}

func (r refusal) Error() string {
	who := "its server"
	if r.elsewhere {
		who = "the host to which its server redirects"
	}
	answer := fmt.Sprintf("%s: %s answers %d %s", r.shown, who, r.status, http.StatusText(r.status))
	if r.said != "" {
		answer += ": " + r.said
	}
	return answer
}

// networkError returns why a connection ended, without its address.
func networkError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return err
}

// explainNetwork says what a person can do about an error of the network, and tells whether
// another try may help.
func (c *client) explainNetwork(ctx context.Context, shown string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f, ok := errors.AsType[final](err); ok {
		return fmt.Errorf("%s: %w", shown, f.error)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return fmt.Errorf("%s: there is no host %s: check the address and whether this machine is online", shown, text.Printable(dns.Name))
	}
	if errors.Is(err, syscall.ECONNREFUSED) && !c.reached.Load() {
		return fmt.Errorf("%s: no server listens there: check the address (for hf:// that in HF_ENDPOINT) and whether this machine is online: %w", shown, err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%s: its certificate is not trusted: where a proxy opens connections, name the file with its certificate in SSL_CERT_FILE: %w", shown, err)
	}
	return temporary{error: fmt.Errorf("%s: %w", shown, err)}
}

// check returns nil for an answer with data, else what the server said. It reads a little of the
// body then.
func (c *client) check(response *http.Response, shown string) error {
	c.reached.Store(true)
	if response.StatusCode/100 == 2 {
		return nil
	}
	r := refusal{status: response.StatusCode, code: response.Header.Get("X-Error-Code"), shown: shown}
	if len(r.code) > 40 {
		r.code = ""
	}
	data, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	r.said = c.secrets.Hide(said(response.Header, data))
	switch r.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return temporary{r, retryAfter(response.Header, time.Now())}
	}
	return r
}

// said returns what a server wrote about an error, in one short line.
func said(header http.Header, body []byte) string {
	message := header.Get("X-Error-Message")
	var answer struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	if message == "" && json.Unmarshal(body, &answer) == nil {
		var words string
		if json.Unmarshal(answer.Error, &words) == nil {
			message = words
		}
		message = first(message, answer.Message)
	}
	if message == "" && isPage(header, body) {
		message = pageTitle(body)
	}
	return text.Printable(text.Shorten(text.OneLine(message), 300))
}

// retryAfter returns how long a server asks us to wait, from Retry-After or the hub's RateLimit.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	limit := regexp.MustCompile(`;\s*r=0\s*;\s*t=(\d{1,6})\b`).FindStringSubmatch(header.Get("RateLimit"))
	if limit != nil {
		seconds, _ := strconv.Atoi(limit[1])
		return time.Duration(seconds) * time.Second
	}
	return 0
}

// isPage reports whether an answer is a web page, which is what a login, a proxy or a preview of a
// file answers with. body may be its beginning alone.
func isPage(header http.Header, body []byte) bool {
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	head := strings.ToLower(string(body[:min(len(body), 1024)]))
	head = strings.TrimLeft(strings.TrimPrefix(head, "\ufeff"), " \t\r\n")
	looks := strings.HasPrefix(head, "<!doctype html") || strings.HasPrefix(head, "<html") || strings.HasPrefix(head, "<head")
	return looks || strings.EqualFold(strings.TrimSpace(kind), "text/html") && strings.HasPrefix(head, "<")
}

func pageTitle(body []byte) string {
	title := regexp.MustCompile(`(?is)<title[^>]*>([^<]{1,300})`).FindSubmatch(body)
	if title == nil {
		return ""
	}
	return strings.TrimSpace(string(title[1]))
}

// pageError says that a web page came in place of data.
func (c *client) pageError(shown string, u *url.URL, body []byte) error {
	title := pageTitle(body)
	if title != "" {
		title = fmt.Sprintf(" (%q)", text.Printable(text.Shorten(text.OneLine(c.secrets.Hide(title)), 100)))
	}
	advice := "it may want a login: download the file in a browser and give its path, or give the address of the file itself"
	if u != nil && strings.EqualFold(u.Hostname(), "github.com") && strings.Contains(u.Path, "/blob/") {
		raw := *u
		raw.Path, raw.RawPath = strings.Replace(u.Path, "/blob/", "/raw/", 1), ""
		advice = "this is GitHub's page about the file: the file itself is " + text.Printable(text.Address(raw.String()))
	}
	return fmt.Errorf("%s: its server answers with a web page%s and not with data; %s", shown, title, advice)
}

// hide takes the token out of an error's text.
func (c *client) hide(err error) error {
	if err == nil || !c.secrets.In(err.Error()) {
		return err
	}
	return hidden{err, c.secrets.Hide(err.Error())}
}

type hidden struct {
	err  error
	text string
}

func (h hidden) Error() string { return h.text }

// Is keeps errors.Is working without giving the text away.
func (h hidden) Is(target error) bool { return errors.Is(h.err, target) }
