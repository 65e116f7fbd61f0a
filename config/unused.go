package config

import "fmt"

// String returns the notice for the log.
func (i Ignored) String() string {
	if i.Line == 0 {
		return fmt.Sprintf("%s has no effect: %s", i.Key, i.Why)
	}
	return fmt.Sprintf("%s (line %d) has no effect: %s", i.Key, i.Line, i.Why)
}

// unusedKeys returns the keys of upstream that this project accepts and has no
// use for, each with the reason.
func unusedKeys() map[string]string {
	const (
		noSentry      = "errors are reported in the log and the metrics only"
		noPooling     = "the queue does not listen for notifications, one connection suffices"
		noElectors    = "the instances agree on the primary by themselves"
		noThresholds  = "the health of a storage is judged by probes and connections, not by failed calls"
		noRecords     = "there is no record of a replica to delete: one that is missing is repaired"
		noCleanup     = "repositories without a record are listed on demand, not collected"
		noHistogram   = "the reconciler keeps no histogram"
		noLogDir      = "the log goes to standard error"
		noDBSeparator = "metrics that ask Postgres are bounded by prometheus.scrape_timeout"
	)
	unused := map[string]string{
		"logging.dir":               noLogDir,
		"sentry.sentry_dsn":         noSentry,
		"sentry.sentry_environment": noSentry,
		"prometheus_exclude_database_from_default_metrics": noDBSeparator,
		"database.host_no_proxy":                           noPooling,
		"database.port_no_proxy":                           noPooling,
		"failover.election_strategy":                       noElectors,
		"failover.bootstrap_interval":                      noElectors,
		"failover.monitor_interval":                        noElectors,
		"failover.error_threshold_window":                  noThresholds,
		"failover.write_error_threshold_count":             noThresholds,
		"failover.read_error_threshold_count":              noThresholds,
		"i_understand_my_election_strategy_is_unsupported_and_will_be_removed_without_warning": noElectors,
		"reconciliation.histogram_buckets":               noHistogram,
		"background_verification.delete_invalid_records": noRecords,
		"repositories_cleanup.check_interval":            noCleanup,
		"repositories_cleanup.run_interval":              noCleanup,
		"repositories_cleanup.repositories_in_batch":     noCleanup,
	}
	for _, key := range []string{
		"host", "port", "user", "password", "dbname", "sslmode", "sslcert", "sslkey", "sslrootcert",
	} {
		unused["database.session_pooled."+key] = noPooling
	}
	return unused
}

// idleKeys returns the keys that are read and judged like any other, and that
// nothing in this version acts on, each with the reason.
func idleKeys() map[string]string {
	const (
		noBatches = "a worker claims as many jobs as it has room for"
		noScrapes = "no metric asks Postgres while it is scraped"
	)
	return map[string]string{
		"replication.batch_size":    noBatches,
		"prometheus.scrape_timeout": noScrapes,
	}
}
