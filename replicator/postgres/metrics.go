package postgres

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Register adds the database's metrics: whether it can be used, and the state of the pool. Collecting them asks the server
// nothing.
func (db *DB) Register(registerer prometheus.Registerer) error {
	available := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "praefect_postgres_available",
		Help: "Whether the last call to Postgres was served: 1, or 0 while it is away, hung or read-only.",
	}, func() float64 {
		if db.availability.available() {
			return 1
		}
		return 0
	})
	err := errors.Join(registerer.Register(available), registerer.Register(collectors.NewDBStatsCollector(db.pool, "praefect")))
	return tried(err, "register the metrics of postgres")
}
