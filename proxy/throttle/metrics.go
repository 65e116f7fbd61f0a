package throttle

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the throttle's own.
type metrics struct {
	places, atWork, waiting *prometheus.GaugeVec
	refused                 *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"virtual_storage"})
	}
	m := &metrics{
		places:  gauge("praefect_write_places", "Writes that may be at work at a time; the number adapts to the storages."),
		atWork:  gauge("praefect_write_places_held", "Writes that hold a place."),
		waiting: gauge("praefect_write_places_awaited", "Writes that wait for a place."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_writes_refused_total",
			Help: "Writes refused because of too many others: full (too many wait), late (they would wait too long for their deadlines).",
		}, []string{"virtual_storage", "reason"}),
	}
	if r != nil {
		r.MustRegister(m.places, m.atWork, m.waiting, m.refused)
	}
	return m
}

// measured is a gate and its gauges, which each step of the gate sets.
type measured struct {
	*gate
	places, atWork, awaited prometheus.Gauge
}

func (m *metrics) measure(virtualStorage string, g *gate) *measured {
	return &measured{
		gate: g, places: m.places.WithLabelValues(virtualStorage), atWork: m.atWork.WithLabelValues(virtualStorage),
		awaited: m.waiting.WithLabelValues(virtualStorage),
	}
}

// show sets the gauges. The caller holds Throttle.mu.
func (g *measured) show() {
	g.places.Set(float64(int(g.limit)))
	g.atWork.Set(float64(g.inside))
	g.awaited.Set(float64(len(g.waiting)))
}

// refuse counts a write that was refused. One whose client is gone was not.
func (m *metrics) refuse(virtualStorage string, cause error) {
	switch {
	case errors.Is(cause, ErrFull):
		m.refused.WithLabelValues(virtualStorage, "full").Inc()
	case errors.Is(cause, ErrLate):
		m.refused.WithLabelValues(virtualStorage, "late").Inc()
	}
}
