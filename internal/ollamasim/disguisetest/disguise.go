// Package disguisetest makes a simulated server look like a real one, for tests of what happens
// with real servers: its models have plain names, and it does not say that it is simulated.
package disguisetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
)

// Start serves a simulated server in disguise until the test ends, and returns the URL.
func Start(t testing.TB, cfg ollamasim.Config) (sim *ollamasim.Server, url string) {
	t.Helper()
	sim = ollamasim.New(cfg)
	server := httptest.NewServer(Handler(sim))
	t.Cleanup(server.Close)
	t.Cleanup(sim.Close) // first, since it ends what is being answered
	return sim, server.URL
}

// Handler answers for sim as a real server would.
func Handler(sim http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(named(body)))
		sim.ServeHTTP(&undercover{w}, r)
	})
}

// named gives a request's model its simulated name. A real server knows nothing of that name, so
// one who asks for it does not get it.
func named(body []byte) []byte {
	var fields map[string]json.RawMessage
	var model string
	if json.Unmarshal(body, &fields) != nil || json.Unmarshal(fields["model"], &model) != nil || model == "" {
		return body
	}
	if strings.HasPrefix(model, pipeline.SimulatedPrefix) {
		model = "not/" + model
	}
	fields["model"], _ = json.Marshal(pipeline.SimulatedModel(model)) // a string
	named, _ := json.Marshal(fields)                                  // what was JSON before
	return named
}

// An undercover writer takes the marks of the simulation out of what is written, which comes in
// whole lines.
type undercover struct{ http.ResponseWriter }

func (u *undercover) Write(data []byte) (int, error) {
	clean := bytes.ReplaceAll(data, []byte(pipeline.SimulatedPrefix), nil)
	for _, mark := range []string{`"simulated":true,`, `,"simulated":true`} {
		clean = bytes.ReplaceAll(clean, []byte(mark), nil)
	}
	if _, err := u.ResponseWriter.Write(clean); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Unwrap is for http.ResponseController.
func (u *undercover) Unwrap() http.ResponseWriter { return u.ResponseWriter }
