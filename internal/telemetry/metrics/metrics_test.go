package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTheHandlerServesWhatIsRegistered(t *testing.T) {
	registry := NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "gleaner_results_total", Help: "How many results were stored?"})
	registry.MustRegister(counter)
	counter.Add(3)
	answer := httptest.NewRecorder()
	Handler(registry).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"gleaner_results_total 3\n", "go_goroutines "} {
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("%q is not served", want)
		}
	}
}
