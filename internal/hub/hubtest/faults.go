package hubtest

import (
	"net/http"
	"strings"
)

// Answer is a fault that answers with a status, header lines as in "Retry-After: 1", and a body.
func Answer(status int, body string, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Page is a fault that answers with the web page of a login.
func Page() func(http.ResponseWriter, *http.Request, http.Handler) {
	return Answer(http.StatusOK, "<!DOCTYPE html>\n<html><head><title>Please log in</title></head></html>", "Content-Type: text/html; charset=utf-8")
}

// Cut is a fault that ends the connection after a number of bytes of the body.
func Cut(after int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&cutting{ResponseWriter: w, left: after}, r)
	}
}

// cutting lets a number of bytes pass. The server ends the connection when the handler panics.
type cutting struct {
	http.ResponseWriter
	left int
}

// Write implements io.Writer.
func (c *cutting) Write(p []byte) (int, error) {
	if len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

// Endless is a fault that sends bytes until the other side goes, with no length said.
func Endless() func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		chunk := []byte(strings.Repeat(`{"a":1}`+"\n", 1000))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// Stall is a fault that sends a beginning and then nothing until the other side goes.
func Stall(begin string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = w.Write([]byte(begin))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}
