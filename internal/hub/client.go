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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/text"
)

// Bounds of what a server may do.
const (
	maxRedirects = 10
	longestWait  = time.Minute     // between two tries
	longestAfter = 5 * time.Minute // that a server may ask us to wait
)

// parallel is how many files are downloaded at once: a storage host gives each connection a part of
// what the line can carry, and more than a few gain nothing.
const parallel = 4

// A client sends the requests of one Fetch or one Upload.
type client struct {
	cfg      Config
	endpoint *url.URL
	http     *http.Client
	secrets  text.Secrets

	reached atomic.Bool // a server has answered

	mu sync.Mutex // held while Config.Progress runs
}

// newClient checks the Config and fills in its defaults. The caller ends it with close.
func newClient(cfg Config) (*client, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = DefaultEndpoint
	}
	endpoint, err := parseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	if cfg.CacheDir == "" {
		folder, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("the folder for what is downloaded: %w", err)
		}
		cfg.CacheDir = filepath.Join(folder, "gleaner", "hub")
	}
	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("HF_TOKEN holds a character that no token has: copy it again from the page where it was made")
	}
	for _, d := range []struct {
		value *time.Duration
		is    time.Duration
	}{{&cfg.Wait, defaultWait}, {&cfg.Idle, defaultIdle}} {
		if *d.value == 0 {
			*d.value = d.is
		}
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	c := &client{cfg: cfg, endpoint: endpoint, http: &http.Client{Transport: defaultTransport()}}
	if cfg.Client != nil {
		c.http.Transport = cfg.Client.Transport
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if cfg.Token != "" {
		c.secrets = text.SecretsOf(cfg.Token)
	}
	return c, nil
}

// defaultTransport has the proxies of the environment, and gives each byte as it was sent: what is
// packed on the way has neither a length nor ranges.
func defaultTransport() http.RoundTripper {
	shared, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	own := shared.Clone()
	own.DisableCompression = true
	own.MaxIdleConnsPerHost = parallel
	return own
}

// close ends connections that wait for a next request, but not those of a transport of the caller.
func (c *client) close() {
	if c.cfg.Client == nil {
		c.http.CloseIdleConnections()
	}
}

// progress tells how far a file is.
func (c *client) progress(file string, done, total int64) {
	if c.cfg.Progress == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Progress(file, done, total)
}

// A request is one that may be sent several times.
type request struct {
	method string
	url    *url.URL
	shown  string // in place of the URL
	header http.Header

	body     func() (io.Reader, error) // from its beginning; nil: none
	size     int64                     // of the body
	patience time.Duration             // for an answer that does not come; Config.Idle by default
}

// send sends a request once, follows redirects, and returns an answer of any status. The caller
// closes its body. An error is one of the network, which another try may not meet, or it is final.
func (c *client) send(ctx context.Context, r request) (*http.Response, error) {
	if c.cfg.Offline {
		return nil, fmt.Errorf("%s: %w", r.shown, errOffline)
	}
	watch, cancel := context.WithCancelCause(ctx)
	idle := max(c.cfg.Idle, r.patience)
	timer := time.AfterFunc(idle, func() { cancel(errIdle) })
	stop := func() { timer.Stop(); cancel(nil) }
	u := r.url
	for range maxRedirects + 1 {
		response, err := c.sendTo(watch, r, u, &watched{timer: timer, idle: idle})
		if err != nil {
			err = networkError(watch, err)
			stop()
			return nil, c.explainNetwork(ctx, r.shown, err)
		}
		next, err := c.redirect(r, u, response)
		if err != nil {
			_ = response.Body.Close()
			stop()
			return nil, err
		}
		if next == nil {
			response.Body = &watched{body: response.Body, ctx: watch, timer: timer, idle: idle, stop: stop}
			return response, nil
		}
		_, _ = io.CopyN(io.Discard, response.Body, 4<<10) // so that the connection can be used again
		_ = response.Body.Close()
		u = next
	}
	stop()
	return nil, fmt.Errorf("%s: its server redirects in a circle, %d times by now: open the address in a browser and give the one where it ends", r.shown, maxRedirects)
}

// sendTo sends a request to the URL of one hop.
func (c *client) sendTo(ctx context.Context, r request, u *url.URL, watch *watched) (*http.Response, error) {
	var body io.Reader
	if r.body != nil {
		content, err := r.body()
		if err != nil {
			return nil, final{err}
		}
		watch.body = io.NopCloser(content)
		body = watch
	}
	out, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, final{err}
	}
	if r.body != nil {
		out.ContentLength = r.size
	}
	for name, values := range r.header {
		out.Header[name] = values
	}
	out.Header.Set("User-Agent", "gleaner")
	if c.mayHaveToken(u) {
		out.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	return c.http.Do(out)
}

// mayHaveToken reports whether the token goes with a request: to the endpoint's host alone, and
// never where others can read it on the way.
func (c *client) mayHaveToken(u *url.URL) bool {
	return c.cfg.Token != "" && sameOrigin(u, c.endpoint) && (u.Scheme == "https" || isLoopback(u.Hostname()))
}

// redirect returns where an answer sends us to, or nil.
func (c *client) redirect(r request, from *url.URL, response *http.Response) (*url.URL, error) {
	location := response.Header.Get("Location")
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		if r.body != nil {
			return nil, fmt.Errorf("%s: its server redirects to %s, and what is sent may not be sent elsewhere: correct HF_ENDPOINT", r.shown, text.Address(location))
		}
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	to, err := from.Parse(location)
	if err != nil || location == "" || to.Host == "" {
		return nil, fmt.Errorf("%s: its server redirects to %q, which is no address", r.shown, text.Shorten(text.Address(location), 200))
	}
	to.User = nil
	if sameOrigin(from, to) {
		to.User = from.User
	}
	switch {
	case from.Scheme == "https" && to.Scheme != "https":
		return nil, fmt.Errorf("%s: its server redirects from https:// to %s, which is refused, since anyone on the way could change the data: download the file yourself and give its path",
			r.shown, text.Address(to.String()))
	case r.body != nil && !sameOrigin(from, to):
		return nil, fmt.Errorf("%s: its server redirects to %s, and what is sent may not be sent elsewhere: correct HF_ENDPOINT", r.shown, text.Address(to.String()))
	}
	return to, c.refuse(to)
}

// watched is a body that ends with an error once nothing came for too long.
type watched struct {
	body  io.ReadCloser
	ctx   context.Context // that timer cancels; nil for what is sent
	timer *time.Timer
	idle  time.Duration
	stop  func()
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.idle)
	n, err := w.body.Read(p)
	if err != nil && err != io.EOF && w.ctx != nil {
		err = networkError(w.ctx, err)
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	if w.stop != nil {
		w.stop()
	}
	return w.body.Close()
}

// try calls one until it does not fail, or fails with what no further try will mend, or has failed
// too often without that anything came. one reports whether something came.
func (c *client) try(ctx context.Context, one func() (progress bool, err error)) error {
	wait := outage.NewBackoff(c.cfg.Wait, longestWait)
	for tries := 1; ; tries++ {
		progress, err := one()
		if err == nil || ctx.Err() != nil {
			return err
		}
		again, ok := errors.AsType[temporary](err)
		if !ok {
			return err
		}
		if progress {
			tries = 1
			wait.Reset()
		}
		switch {
		case again.after > longestAfter:
			return fmt.Errorf("%w; it asks to come back in %s", again.error, again.after.Round(time.Second))
		case tries >= defaultTries:
			return fmt.Errorf("%w; tried %d times: try again later, what is there by now is kept", again.error, tries)
		}
		if slept := outage.Sleep(ctx, max(again.after, wait.Next())); slept != nil {
			return slept
		}
	}
}

// tokens returns the page on which tokens are made.
func (c *client) tokens() string {
	return strings.TrimSuffix(c.endpoint.String(), "/") + "/settings/tokens"
}
