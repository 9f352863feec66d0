package serve

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are what /metrics shows. They are in a registry of their own; labels
// are route patterns and names of loaded models, never what a client wrote.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec   // api, route, code
	seconds  *prometheus.HistogramVec // api, route
	inFlight prometheus.Gauge
	refused  *prometheus.CounterVec // reason
	panics   prometheus.Counter

	rows     *prometheus.HistogramVec // model, version: rows of a run
	requestN *prometheus.HistogramVec // model, version: requests of a run
	tokens   *prometheus.CounterVec   // model, version, kind
	run      *prometheus.HistogramVec // model, version
	waiting  *prometheus.HistogramVec // model, version
	loads    *prometheus.CounterVec   // model, outcome
}

// latencies are the bounds of the histograms of durations, in seconds.
var latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newMetrics() *Metrics {
	model := []string{"model", "version"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ghostwriter_requests_total", Help: "Requests answered, by route and status."}, []string{"api", "route", "code"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ghostwriter_request_duration_seconds", Help: "Time from a request's headers to the end of its answer.", Buckets: latencies}, []string{"api", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "ghostwriter_requests_in_flight", Help: "Requests in work."}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ghostwriter_requests_refused_total", Help: "Requests refused before their handler or in a model's queue, by reason."}, []string{"reason"}),
		panics:   prometheus.NewCounter(prometheus.CounterOpts{Name: "ghostwriter_panics_total", Help: "Requests that ended in a fault of the server."}),
		rows:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ghostwriter_batch_rows", Help: "Rows of a forward pass.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}, model),
		requestN: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ghostwriter_batch_requests", Help: "Requests joined in a forward pass.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}, model),
		tokens:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ghostwriter_tokens_total", Help: "Tokens read (input), made up to fill rows of a batch (padding), and generated (output)."}, append(model, "kind")),
		run:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ghostwriter_run_duration_seconds", Help: "Time of a forward pass.", Buckets: latencies}, model),
		waiting:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ghostwriter_queue_duration_seconds", Help: "Time that a request waited for its forward pass to begin.", Buckets: latencies}, model),
		loads:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ghostwriter_model_loads_total", Help: "Attempts to load a model, by outcome."}, []string{"model", "outcome"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.inFlight, m.refused, m.panics, m.rows, m.requestN, m.tokens, m.run, m.waiting, m.loads,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registerer takes further metrics of an API.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// Tokens counts tokens of a model; kind is "input", "padding" or "output".
func (m *Metrics) Tokens(l *Lease, kind string, n int) {
	m.tokens.WithLabelValues(l.Name(), l.Version(), kind).Add(float64(n))
}

// handler writes the metrics.
func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// states collects what is known of the models at the time of asking.
type states struct {
	repo         *Repository
	ready, depth *prometheus.Desc
}

func newStates(r *Repository) *states {
	return &states{repo: r,
		ready: prometheus.NewDesc("ghostwriter_model_ready", "1 for a model that is loaded, 0 for one that is not.", []string{"model", "version"}, nil),
		depth: prometheus.NewDesc("ghostwriter_queue_requests", "Requests that wait for a model.", []string{"model", "version"}, nil),
	}
}

func (s *states) Describe(c chan<- *prometheus.Desc) { c <- s.ready; c <- s.depth }

func (s *states) Collect(c chan<- prometheus.Metric) {
	for _, v := range s.repo.Index() {
		ready := 0.0
		if v.State == StateReady {
			ready = 1
		}
		c <- prometheus.MustNewConstMetric(s.ready, prometheus.GaugeValue, ready, v.Name, v.Version)
		c <- prometheus.MustNewConstMetric(s.depth, prometheus.GaugeValue, float64(v.Waiting), v.Name, v.Version)
	}
}
