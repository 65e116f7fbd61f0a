package ledger

import "github.com/prometheus/client_golang/prometheus"

// Metrics count the writes that cannot be forwarded at once, and how their wait ended.
type Metrics struct {
	queued, evicted *prometheus.CounterVec
	allowed, doomed prometheus.Counter
	waiting         prometheus.Gauge
}

// NewMetrics registers the metrics with r, if that is not nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		queued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_writes_queued_total",
			Help: "Writes that could not be forwarded at once, by the first reason for the wait.",
		}, []string{"why"}),
		allowed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_writes_resumed_total",
			Help: "Writes that waited and were forwarded.",
		}),
		evicted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_writes_evicted_total",
			Help: "Writes that were refused after a wait, or because too many waited, by the last reason for the wait.",
		}, []string{"why"}),
		doomed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_writes_doomed_total",
			Help: "Writes that were cut off because their primary was taken away.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "praefect_writes_waiting",
			Help: "Writes that wait now for a primary, a repair, a switchover or a lease.",
		}),
	}
	if r != nil {
		r.MustRegister(m.queued, m.allowed, m.evicted, m.doomed, m.waiting)
	}
	return m
}
