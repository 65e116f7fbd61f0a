package store

import (
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
)

const prefix = "praefect_consensus_"

// newSeconds makes the metric of the calls to the disk.
func newSeconds() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: prefix + "store_seconds", Help: "Calls to the disk of the Raft log.", Buckets: prometheus.ExponentialBucketsRange(0.000_1, 10, 16),
	}, []string{"operation"})
}

// Collectors are the metrics of the directory.
func (d *Disk) Collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help}, func() float64 { return float64(value()) })
	}
	return []prometheus.Collector{
		d.seconds,
		gauge("log_bytes", "Bytes of the entries of the Raft log on this instance.", d.LogBytes),
		gauge("log_file_bytes", "Size of raft.db, which has the Raft log: it never shrinks, and its free pages are used again.", d.fileBytes),
	}
}

// LogBytes is the size of the entries of the log.
func (d *Disk) LogBytes() int64 { return d.size.bytes() }

// fileBytes is the size of the file with the log, 0 if there is none.
func (d *Disk) fileBytes() int64 {
	info, err := os.Stat(filepath.Join(d.config.DataDir, LogFile))
	if err != nil {
		return 0 // a store in memory, or a directory that is being set aside
	}
	return info.Size()
}
