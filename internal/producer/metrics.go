package producer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"gleaner/internal/pipeline"
)

// Metrics are what the producer counts.
type Metrics struct {
	published prometheus.Counter   // does the queue get work?
	full      prometheus.Counter   // is the stream too small?
	batches   *prometheus.GaugeVec // how far is each run?
	stored    *prometheus.GaugeVec // how many answers are there?
	total     *prometheus.GaugeVec // out of how many?
}

// NewMetrics registers the producer's metrics. With a nil registerer they are counted and not
// shown.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	with := promauto.With(reg)
	return &Metrics{
		published: with.NewCounter(prometheus.CounterOpts{Name: "gleaner_batches_published_total", Help: "Batches put on the queue."}),
		full:      with.NewCounter(prometheus.CounterOpts{Name: "gleaner_stream_full_total", Help: "Times that a batch had to wait because the stream was full."}),
		batches:   with.NewGaugeVec(prometheus.GaugeOpts{Name: "gleaner_run_batches", Help: "Batches of the run by state."}, []string{"run", "state"}),
		stored:    with.NewGaugeVec(prometheus.GaugeOpts{Name: "gleaner_run_generations_stored", Help: "Generations of the run with a stored result."}, []string{"run"}),
		total:     with.NewGaugeVec(prometheus.GaugeOpts{Name: "gleaner_run_generations", Help: "Generations of the run."}, []string{"run"}),
	}
}

func (m *Metrics) saw(run string, p pipeline.Progress) {
	for _, state := range pipeline.BatchStates {
		m.batches.WithLabelValues(run, string(state)).Set(float64(p.Batches[state]))
	}
	m.stored.WithLabelValues(run).Set(float64(p.Stored))
	m.total.WithLabelValues(run).Set(float64(p.Generations))
}

// forget removes a run that is not followed any more.
func (m *Metrics) forget(run string) {
	for _, gauge := range []*prometheus.GaugeVec{m.batches, m.stored, m.total} {
		gauge.DeletePartialMatch(prometheus.Labels{"run": run})
	}
}
