package sink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"gleaner/internal/pipeline"
)

// Metrics are what the sink counts.
type Metrics struct {
	stored        prometheus.Counter     // how many new answers are there?
	duplicate     prometheus.Counter     // how much GPU time was spent twice?
	rejected      prometheus.Counter     // does a consumer send what is of no use?
	otherDigest   prometheus.Counter     // does one have another model under the run's name?
	noToken       prometheus.Counter     // does one answer what it was not handed, or is it too old to show that it was?
	outputTokens  prometheus.Counter     // how fast do all GPUs together generate?
	flushSeconds  prometheus.Histogram   // is the store the bottleneck?
	storeFailures prometheus.Counter     // is the store away?
	deadLetters   *prometheus.CounterVec // what fails, and how often?
	deadIgnored   *prometheus.CounterVec // does a dead letter come late, or from a consumer that has no say?
	consumers     prometheus.Gauge       // how many notebooks are there?
	gpuSlots      *prometheus.GaugeVec   // what could each GPU do at once?
	gpuBusy       *prometheus.GaugeVec   // is it idle?
	gpuRate       *prometheus.GaugeVec   // how fast is it?
}

// NewMetrics registers the sink's metrics. With a nil registerer they are counted and not shown.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	with := promauto.With(reg)
	gpu := func(name, help string) *prometheus.GaugeVec {
		return with.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"run", "consumer", "host", "gpu"})
	}
	counter := func(name, help string) prometheus.Counter {
		return with.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &Metrics{
		stored:       counter("gleaner_results_stored_total", "Results stored that were not there before."),
		duplicate:    counter("gleaner_results_duplicate_total", "Results of generations that had one already."),
		rejected:     counter("gleaner_results_rejected_total", "Messages refused because nothing in the store fits them."),
		otherDigest:  counter("gleaner_results_other_digest_total", "Messages refused because their answers are of another digest than the run is pinned to."),
		noToken:      counter("gleaner_results_without_token_total", "Messages refused because they come without the token of their batch."),
		outputTokens: counter("gleaner_output_tokens_total", "Tokens of all results that were written, duplicates included."),
		flushSeconds: with.NewHistogram(prometheus.HistogramOpts{
			Name: "gleaner_flush_seconds", Help: "Time to check, write and acknowledge one flush.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
		storeFailures: counter("gleaner_store_failures_total", "Tries at the store that failed."),
		deadLetters: with.NewCounterVec(prometheus.CounterOpts{
			Name: "gleaner_dead_letters_total", Help: "Dead letters that the store was told of, by class; one that comes twice counts twice.",
		}, []string{"class"}),
		deadIgnored: with.NewCounterVec(prometheus.CounterOpts{
			Name: "gleaner_dead_letters_ignored_total", Help: "Dead letters of no consequence: stale ones are of a round that is over, foreign ones fit nothing in the store, refused ones come without their token.",
		}, []string{"reason"}),
		consumers: with.NewGauge(prometheus.GaugeOpts{Name: "gleaner_consumers", Help: "Consumers present."}),
		gpuSlots:  gpu("gleaner_gpu_slots", "Slots of a GPU."),
		gpuBusy:   gpu("gleaner_gpu_busy_slots", "Slots of a GPU that are generating."),
		gpuRate:   gpu("gleaner_gpu_tokens_per_second", "Output tokens per second of a GPU over the last minute."),
	}
}

func (m *Metrics) flushed(written pipeline.Written, took time.Duration, results []pipeline.Results) {
	m.stored.Add(float64(written.New))
	m.duplicate.Add(float64(written.Duplicate))
	m.flushSeconds.Observe(took.Seconds())
	tokens := 0
	for _, r := range results {
		for _, x := range r.Results {
			tokens += x.OutputTokens
		}
	}
	m.outputTokens.Add(float64(tokens))
}

// saw replaces the consumers' figures, so that those of absent consumers disappear. It counts the
// consumers that are left out, too.
func (m *Metrics) saw(consumers []pipeline.Presence, more int) {
	m.consumers.Set(float64(len(consumers) + more))
	for _, vec := range []*prometheus.GaugeVec{m.gpuSlots, m.gpuBusy, m.gpuRate} {
		vec.Reset()
	}
	for _, c := range consumers {
		for _, g := range c.GPUs {
			labels := []string{c.Run, c.ID, c.Host, g.Name}
			m.gpuSlots.WithLabelValues(labels...).Set(float64(g.Slots))
			m.gpuBusy.WithLabelValues(labels...).Set(float64(g.Busy))
			m.gpuRate.WithLabelValues(labels...).Set(g.TokensPerSecond)
		}
	}
}
