package consensus

import (
	"errors"
	"fmt"

	gometrics "github.com/hashicorp/go-metrics"
	gometricsprom "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the collectors of one Node.
type metrics struct {
	batches, commands, retries prometheus.Counter
	forwarded                  prometheus.Counter
	seconds                    prometheus.Histogram
}

const prefix = "praefect_consensus_"

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	buckets := prometheus.ExponentialBucketsRange(0.000_1, 10, 16)
	return &metrics{
		batches:   counter("batches_total", "Batches of commands proposed."),
		commands:  counter("commands_total", "Commands proposed."),
		retries:   counter("retries_total", "Batches handed to Raft again because it had not answered, or not taken them."),
		forwarded: counter("forwarded_total", "Batches handed to the leader, another instance; each attempt counts."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "commit_seconds", Help: "From proposing a batch until it is applied.", Buckets: buckets,
		}),
	}
}

// register registers the metrics, and the ones that are read off the node; reg may be nil.
func (m *metrics) register(reg prometheus.Registerer, n *Node) error {
	if reg == nil {
		return nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help}, value)
	}
	var err error
	for _, c := range append(n.disk.Collectors(),
		m.batches, m.commands, m.retries, m.forwarded, m.seconds,
		gauge("term", "Raft's current term.", func() float64 { return float64(n.Term()) }),
		gauge("commit_index", "Index of the last committed entry.", func() float64 { return float64(n.CommitIndex()) }),
		gauge("applied_index", "Index of the last entry handed to the state.", func() float64 { return float64(n.library.AppliedIndex()) }),
		gauge("is_leader", "1 if this instance is the leader, else 0.", func() float64 {
			if n.local() != nil {
				return 1
			}
			return 0
		}),
		gauge("voters", "Instances that vote.", func() float64 { return float64(n.library.Voters()) }),
		gauge("leader_known", "1 if this instance knows the leader, else 0.", func() float64 {
			if _, err := n.Leader(); err != nil {
				return 0
			}
			return 1
		}),
		gauge("ledger_entries", "Repositories listed in the ledger.", func() float64 { return float64(n.View().Len()) }),
		gauge("queue_commands", "Commands that wait for a batch.", func() float64 { return float64(n.proposer.queue.len()) }),
	) {
		err = errors.Join(err, reg.Register(c))
	}
	if err != nil {
		return fmt.Errorf("register metrics of consensus: %w", err)
	}
	return nil
}

// ExportRaftMetrics sends the Raft library's own metrics, raft_*, to the
// registerer. The library keeps one destination for the whole process: only
// the command calls this, once.
func ExportRaftMetrics(reg prometheus.Registerer) error {
	sink, err := gometricsprom.NewPrometheusSinkFrom(gometricsprom.PrometheusOpts{Registerer: reg, Name: "raft_library"})
	if err != nil {
		return fmt.Errorf("register the metrics of raft: %w", err)
	}
	c := gometrics.DefaultConfig("")
	c.EnableHostname, c.EnableRuntimeMetrics = false, false
	if _, err := gometrics.NewGlobal(c, sink); err != nil {
		return fmt.Errorf("export the metrics of raft: %w", err)
	}
	return nil
}
