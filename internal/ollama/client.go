// Package ollama speaks to one Ollama server over HTTP and decides what its answers are worth.
//
// It uses the types of Ollama's own api package but not its client, which returns no error for a
// stream that was cut by the server, by a dead runner or by a deadline, and allocates 8 MB for each
// call. Here a result counts only if the last chunk said that it is done, the context is not over,
// and the reason is "stop"; everything else is a [pipeline.Failure] with its class.
package ollama

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ollama/ollama/api"

	"gleaner/internal/pipeline"
)

// Defaults of Config.
const (
	DefaultFirstToken  = 10 * time.Minute
	DefaultStall       = 45 * time.Second
	DefaultAnswerLimit = 30 * time.Minute
	defaultSlots       = 16
)

// How long the calls that generate nothing may take.
const (
	quickCall  = 10 * time.Second // lists and versions: the server answers from memory or its own disk
	loadCall   = 10 * time.Minute // a model of some gigabytes from a slow disk onto a GPU
	pullSilent = 5 * time.Minute  // between two lines of a pull: checking the digest of a large layer is silent
)

// Config configures a client. The zero value of a field means its default.
type Config struct {
	// FirstToken is how long a request may wait for its first token, the load of the model, the
	// server's own queue and the reading of the prompt included. After that it counts as a stall.
	FirstToken time.Duration
	// Stall is how long a request may wait for each further token.
	Stall time.Duration
	// AnswerLimit is how long an answer may take from its first token on.
	AnswerLimit time.Duration
	// Slots is how many requests run at once, so that each finds its connection open.
	Slots int
}

// A Client speaks to one server. It is safe for concurrent use.
type Client struct {
	base   *url.URL
	cfg    Config
	http   *http.Client
	chunks atomic.Int64 // see Chunks
}

// New returns a client for the server at an address as Ollama itself writes it:
// "http://host:port", "host:port" or "host" (then the port is 11434). It does not connect; Ping
// does.
func New(rawURL string, cfg Config) (*Client, error) {
	base, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	if cfg.FirstToken < 0 || cfg.Stall < 0 || cfg.AnswerLimit < 0 || cfg.Slots < 0 {
		return nil, fmt.Errorf("ollama %s: FirstToken, Stall, AnswerLimit and Slots must not be negative", rawURL)
	}
	cfg.FirstToken = cmp.Or(cfg.FirstToken, DefaultFirstToken)
	cfg.Stall = cmp.Or(cfg.Stall, DefaultStall)
	cfg.AnswerLimit = cmp.Or(cfg.AnswerLimit, DefaultAnswerLimit)
	cfg.Slots = cmp.Or(cfg.Slots, defaultSlots)
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: cfg.Slots + 4, // the slots, and the calls that check the server
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // tokens come one by one, there is nothing to compress
	}
	// No timeout here: it would cover the whole stream. Each call has its own limits.
	return &Client{base: base, cfg: cfg, http: &http.Client{Transport: transport}}, nil
}

// URL returns the server's address, without a password if it has one.
func (c *Client) URL() string { return c.base.Redacted() }

// Chunks returns how many pieces of answers have come so far, about one for each token, including
// those of requests in flight. If it does not grow while requests are in flight, the server stalls.
func (c *Client) Chunks() int64 { return c.chunks.Load() }

// Close closes the connections that no request uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseURL(raw string) (*url.URL, error) {
	hint := "write http://host:port, host:port or host"
	full, port := strings.TrimSpace(raw), ""
	switch {
	case full == "":
		return nil, fmt.Errorf("the address of the Ollama server is empty: %s", hint)
	case !strings.Contains(full, "://"):
		full, port = "http://"+full, "11434"
	}
	u, err := url.Parse(full)
	if err != nil {
		return nil, fmt.Errorf("%q is not the address of an Ollama server: %w: %s", raw, err, hint)
	}
	problem := ""
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		problem = fmt.Sprintf("it begins with %q", u.Scheme+"://")
	case u.Hostname() == "":
		problem = "it has no host"
	case u.RawQuery != "" || u.Fragment != "":
		problem = "it has a query or a fragment"
	case u.Port() != "" && !validPort(u.Port()):
		problem = fmt.Sprintf("%s is not a port", u.Port())
	}
	if problem != "" {
		return nil, fmt.Errorf("%q is not the address of an Ollama server: %s: %s", raw, problem, hint)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		// OLLAMA_HOST=0.0.0.0 tells a server where to listen; not every system can connect to that
		// address.
		host = "127.0.0.1"
	}
	switch {
	case port != "":
		u.Host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		u.Host = "[" + host + "]"
	default:
		u.Host = host
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n < 1<<16
}

// open sends a request and returns the response if its status is good; else the error is a
// StatusError or an AuthorizationError of the api package, or that of the connection.
func (c *Client) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var payload io.Reader
	if body != nil {
		data, err := pipeline.Encode(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath(path).String(), payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/x-ndjson, application/json")
	req.Header.Set("User-Agent", "gleaner")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		return nil, statusError(resp)
	}
	return resp, nil
}

// statusError reads what the server says about a bad status. An empty body counts as well.
func statusError(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes)) // what has arrived of it is all that can be reported
	if resp.StatusCode == http.StatusUnauthorized {
		return api.AuthorizationError{StatusCode: resp.StatusCode, Status: resp.Status}
	}
	e := api.StatusError{StatusCode: resp.StatusCode, Status: resp.Status}
	if json.Unmarshal(body, &e) != nil {
		e.ErrorMessage = strings.TrimSpace(string(body))
	}
	e.ErrorMessage = strings.ToValidUTF8(e.ErrorMessage, "\uFFFD")
	return e
}

// call sends a request and reads the whole answer, of at most maxAnswerBytes, into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxAnswerBytes:
		return fmt.Errorf("the answer to %s has more than %d bytes", path, maxAnswerBytes)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the answer to %s is not that of an Ollama server: %w", path, err)
	}
	return nil
}
