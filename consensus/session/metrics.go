package session

import (
	"github.com/prometheus/client_golang/prometheus"

	"praefect/fsm/state"
)

// Collector exports the facts of a Session, and the state of the storages. It
// makes no call when it is scraped.
func (s *Session) Collector() prometheus.Collector { return collector{s} }

type collector struct{ s *Session }

var (
	leaseSeconds = prometheus.NewDesc("praefect_lease_seconds",
		"Time left of this instance's lease; 0 if it has none.", nil, nil)
	leads = prometheus.NewDesc("praefect_leader",
		"1 if this instance leads the others.", nil, nil)
	watermark = prometheus.NewDesc("praefect_watermark_index",
		"Index that every leased instance has applied, as this one knows it.", nil, nil)
	pauses = prometheus.NewDesc("praefect_write_pauses",
		"Virtual storages whose new writes wait for a switchover.", nil, nil)
	epoch = prometheus.NewDesc("praefect_epoch",
		"Epoch of the virtual storage: it rises when a storage begins or ceases to serve.", []string{"virtual_storage"}, nil)
	primaries = prometheus.NewDesc("gitaly_praefect_primaries",
		"1 for the storage that is the primary.", []string{"virtual_storage", "gitaly_storage"}, nil)
	storageState = prometheus.NewDesc("praefect_storage_state",
		"1 for the state that the storage has.", []string{"virtual_storage", "gitaly_storage", "state"}, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{leaseSeconds, leads, watermark, pauses, epoch, primaries, storageState} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(leaseSeconds, c.s.Lease().Left(c.s.Now()).Seconds())
	gauge(leads, one(c.s.Leads()))
	gauge(watermark, float64(c.s.Watermark()))
	gauge(pauses, float64(len(c.s.WritePauses())))
	view := c.s.node.View()
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		gauge(epoch, float64(vs.Epoch), vs.Name)
		primary, ok := vs.Primary(nil)
		for _, st := range vs.Succession {
			gauge(primaries, one(ok && st.Name == primary.Name), vs.Name, st.Name)
			for _, is := range []state.StorageState{state.Serving, state.Fenced, state.Out, state.Backfilling} {
				gauge(storageState, one(st.State == is), vs.Name, st.Name, string(is))
			}
		}
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
