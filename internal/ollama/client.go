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
	"sync"
	"sync/atomic"
	"time"

	"gleaner/internal/pipeline"
)

// Defaults of Config that the client has for itself.
const (
	DefaultAnswerLimit = pipeline.DefaultAnswerLimit
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
	// Key is what the server, or a gateway in front of it, wants as a bearer token. User and
	// password in the address take its place.
	Key string
}

// A Client speaks to one server. It is safe for concurrent use.
type Client struct {
	base        *url.URL // without user and password
	credentials credentials
	cfg         Config
	http        *http.Client
	chunks      atomic.Int64 // see Chunks
	reason      atomic.Bool  // the server has said why an answer ended
	models      knownModels
}

// knownModels is what the server said of its models.
type knownModels struct {
	mu    sync.Mutex
	tools map[string]bool      // by name: the model knows tools
	able  map[string]abilities // by digest
}

// New returns a client for the server at an address as Ollama itself writes it:
// "http://host:port", "host:port" or "host" (then the port is 11434). It may hold user and password
// for a gateway. New does not connect; Ping does.
func New(rawURL string, cfg Config) (*Client, error) {
	base, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	shown, err := readCredentials(base, cfg.Key)
	if err != nil {
		return nil, err
	}
	if cfg.FirstToken < 0 || cfg.Stall < 0 || cfg.AnswerLimit < 0 || cfg.Slots < 0 {
		return nil, fmt.Errorf("ollama %s: FirstToken, Stall, AnswerLimit and Slots must not be negative", base)
	}
	cfg.FirstToken = cmp.Or(cfg.FirstToken, pipeline.DefaultFirstToken)
	cfg.Stall = cmp.Or(cfg.Stall, pipeline.DefaultStall)
	cfg.AnswerLimit = cmp.Or(cfg.AnswerLimit, DefaultAnswerLimit)
	cfg.Slots = cmp.Or(cfg.Slots, defaultSlots)
	transport := &http.Transport{
		Proxy:               proxy,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: cfg.Slots + 4, // the slots, and the calls that check the server
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // tokens come one by one, there is nothing to compress
	}
	// No timeout here: it would cover the whole stream. Each call has its own limits.
	// No redirect is followed: it turns a question into another one, or carries it, with the
	// credentials, to another host.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: base, credentials: shown, cfg: cfg, http: &http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

// URL returns the server's address, without user and password.
func (c *Client) URL() string { return c.base.String() }

// Chunks returns how many pieces of answers have come so far, about one for each token, including
// those of requests in flight. If it does not grow while requests are in flight, the server stalls.
func (c *Client) Chunks() int64 { return c.chunks.Load() }

// Close closes the connections that no request uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// open sends a request and returns the response if it is an answer; else the error is a *reply, or
// that of the connection.
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
	return c.send(req)
}

// send sends a request with all that every request has.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	req.Header.Set("Accept", "application/x-ndjson, application/json")
	req.Header.Set("User-Agent", "gleaner")
	if c.credentials.header != "" {
		req.Header.Set("Authorization", c.credentials.header)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices || isPage(resp) {
		defer resp.Body.Close()
		return nil, readReply(resp)
	}
	return resp, nil
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
	if err := webPage(data); err != nil {
		return fmt.Errorf("%w: is that the address of an Ollama server?", err)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the answer to %s is not that of an Ollama server: %w", path, err)
	}
	return nil
}
