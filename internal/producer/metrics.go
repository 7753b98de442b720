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
	batches   *prometheus.GaugeVec // how far is the run?
	stored    prometheus.Gauge     // how many answers are there?
	total     prometheus.Gauge     // out of how many?
}

// NewMetrics registers the producer's metrics. With a nil registerer they are counted and not
// shown.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	with := promauto.With(reg)
	return &Metrics{
		published: with.NewCounter(prometheus.CounterOpts{Name: "gleaner_batches_published_total", Help: "Batches put on the queue."}),
		full:      with.NewCounter(prometheus.CounterOpts{Name: "gleaner_stream_full_total", Help: "Times that a batch had to wait because the stream was full."}),
		batches:   with.NewGaugeVec(prometheus.GaugeOpts{Name: "gleaner_run_batches", Help: "Batches of the run by state."}, []string{"state"}),
		stored:    with.NewGauge(prometheus.GaugeOpts{Name: "gleaner_run_generations_stored", Help: "Generations of the run with a stored result."}),
		total:     with.NewGauge(prometheus.GaugeOpts{Name: "gleaner_run_generations", Help: "Generations of the run."}),
	}
}

func (m *Metrics) saw(p pipeline.Progress) {
	for _, state := range pipeline.BatchStates {
		m.batches.WithLabelValues(string(state)).Set(float64(p.Batches[state]))
	}
	m.stored.Set(float64(p.Stored))
	m.total.Set(float64(p.Generations))
}
