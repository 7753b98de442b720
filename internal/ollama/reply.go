package ollama

import (
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/text"
)

// Bounds of what an error repeats of a server's words.
const (
	maxPageWords  = 160     // of a page, which is rarely a server's own
	maxErrorWords = 2 << 10 // of an error in Ollama's own form
	maxRetryAfter = 24 * time.Hour
)

// A reply is what came in place of an answer: a bad status, a page, or an error as a line of a
// stream.
type reply struct {
	status int    // 0: it came as a line of a stream
	words  string // what it says, in one line
	all    string // what it says, in lower case and in full
	page   bool   // it is not in the form of an API, so it hardly comes from a model server

	// What is told apart without reading words.
	kind                  string // llama.cpp's type of error
	promptTokens, context int    // of a prompt that is too long

	after  time.Duration // Retry-After
	to     *url.URL      // where a redirect leads
	wants  string        // WWW-Authenticate
	signin bool          // Ollama's cloud wants a sign-in
}

// Error returns the status and what the reply says.
func (r *reply) Error() string {
	switch {
	case r.page || r.status == 0 && r.words != "":
		return r.words
	case r.words == "":
		return statusText(r.status)
	}
	return statusText(r.status) + ": " + r.words
}

func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// streamError returns the reply that came as a line of a stream.
func streamError(words string) error {
	r := &reply{}
	r.say(words)
	return r
}

// readReply reads what stands in place of an answer. What has arrived of it is all that can be
// reported.
func readReply(resp *http.Response) *reply {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	r := &reply{status: resp.StatusCode, wants: resp.Header.Get("WWW-Authenticate"), after: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		r.to, _ = resp.Location() // without one it is nil
	}
	if r.readJSON(body) {
		return r
	}
	r.page = true
	r.words = statusText(r.status)
	if server := text.OneLine(plain(resp.Header.Get("Server"))); server != "" {
		r.words += " from " + text.Shorten(server, 40)
	}
	title := text.OneLine(titleOf(string(body)))
	if title != "" && !strings.EqualFold(title, statusText(r.status)) {
		r.words += ": " + title
	}
	r.words = text.Shorten(r.words, maxPageWords)
	r.all = strings.ToLower(title)
	return r
}

// say takes in the words of an error. Since version 0.30 they may be llama-server's own answer.
func (r *reply) say(words string) {
	words = strings.TrimSpace(strings.ToValidUTF8(words, "\uFFFD"))
	if strings.HasPrefix(words, "{") && r.readJSON([]byte(words)) {
		return
	}
	r.all = strings.ToLower(words)
	r.words = text.Shorten(text.OneLine(words), maxErrorWords)
}

// readJSON takes in an error in the form of an API: of Ollama, of llama.cpp, which is OpenAI's, or
// of a gateway. It reports whether it is one.
func (r *reply) readJSON(body []byte) bool {
	var form struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
		Signin  string          `json:"signin_url"`
	}
	if json.Unmarshal(body, &form) != nil {
		return false
	}
	r.signin = form.Signin != ""
	var words string
	var inner struct {
		Message      string `json:"message"`
		Type         string `json:"type"`
		PromptTokens int    `json:"n_prompt_tokens"`
		Context      int    `json:"n_ctx"`
	}
	switch {
	case json.Unmarshal(form.Error, &words) == nil && words != "":
		r.say(words)
	case json.Unmarshal(form.Error, &inner) == nil && (inner.Message != "" || inner.Type != ""):
		r.kind, r.promptTokens, r.context = inner.Type, max(inner.PromptTokens, 0), max(inner.Context, 0)
		r.say(inner.Message)
	case form.Message != "":
		r.say(form.Message)
	case json.Unmarshal(form.Detail, &words) == nil:
		r.say(words)
	}
	return true
}

// retryAfter reads the header, which holds seconds or a date. It returns 0 if that says nothing, or
// names a time that is over, and at most maxRetryAfter.
func retryAfter(header string, now time.Time) time.Duration {
	// A number that no integer can hold comes back as the largest one, or the smallest.
	if seconds, err := strconv.ParseInt(strings.TrimSpace(header), 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// titleOf returns what a page says of itself: its title, else its first heading, else its text.
func titleOf(page string) string {
	for _, of := range []string{`(?is)<title[^>]*>(.*?)</title>`, `(?is)<h1[^>]*>(.*?)</h1>`} {
		if found := regexp.MustCompile(of).FindStringSubmatch(page); found != nil && strings.TrimSpace(plain(found[1])) != "" {
			return plain(found[1])
		}
	}
	return plain(regexp.MustCompile(`(?is)<(script|style)\b.*?(</(script|style)>|$)|<!--.*?(-->|$)`).ReplaceAllString(page, " "))
}

// plain returns a text without tags and without what is no character of a text.
func plain(s string) string {
	s = regexp.MustCompile(`(?s)<[^>]*(>|$)`).ReplaceAllString(s, " ")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(html.UnescapeString(s), "\uFFFD"))
}

// webPage returns an error if what came in place of JSON is a page for people that did not say so.
func webPage(data []byte) error {
	if !strings.HasPrefix(strings.TrimLeft(string(data[:min(len(data), 64)]), " \t\r\n\ufeff"), "<") {
		return nil
	}
	title := text.OneLine(titleOf(string(data[:min(len(data), maxErrorBytes)])))
	return errors.New(strings.TrimSuffix(text.Shorten("a web page in place of an answer, from a proxy or a login in between: "+title, maxPageWords), ": "))
}

// isPage reports whether an answer is a page for people: behind a login, or at another address,
// also a good status means nothing.
func isPage(resp *http.Response) bool {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/html")
}
