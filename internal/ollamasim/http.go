package ollamasim

import (
	"encoding/json"
	"io"
	"net/http"
)

// maxRequestBytes bounds what a request may have.
const maxRequestBytes = 16 << 20

func readRequest(w http.ResponseWriter, r *http.Request, v any) bool {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	switch {
	case err != nil:
		fail(w, http.StatusBadRequest, err.Error())
		return false
	case len(data) == 0:
		fail(w, http.StatusBadRequest, "missing request body")
		return false
	}
	if err := json.Unmarshal(data, v); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return false
	}
	return true
}

func reply(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(data) // an error means that the client has gone
}

func fail(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]string{"error": text})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// lines writes a stream of JSON lines.
type lines struct {
	w       http.ResponseWriter
	written bool
}

func newLines(w http.ResponseWriter) *lines { return &lines{w: w} }

func (l *lines) write(v any) {
	if !l.written {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.written = true
	}
	data, err := json.Marshal(v)
	if err != nil {
		return // only for types that JSON cannot hold
	}
	_, _ = l.w.Write(append(data, '\n'))
}

func (l *lines) flush() { _ = http.NewResponseController(l.w).Flush() }
