package config

import (
	"cmp"
	"math"
	"net"
	"slices"
	"strings"
)

// Bounds that upstream sets for the channels to storages.
const (
	minStreamWindowBytes = 256 << 10
	minAcceptBacklog     = 1
)

// validate notes everything that is wrong with the values themselves. It looks
// at nothing outside of them.
func (c *Config) validate(found *findings) {
	c.checkListeners(found)
	c.checkTLS(found)
	c.checkConsole(found)
	c.Database.check(found)
	c.checkVirtualStorages(found)
	c.checkRaft(found)
	c.checkConsistency(found)
	c.checkTimes(found)

	if c.Auth.Token == "" && c.Auth.PreviousToken != "" {
		found.add(keyPath("auth", "previous_token"), "set without token, so that every client would be let in: write it as token")
	}
	oneOf(found, keyPath("logging", "format"), c.Logging.Format, "text", "json")
	if _, ok := slogLevel(c.Logging.Level); !ok {
		found.add(keyPath("logging", "level"), "%q is not known: write 'debug', 'info', 'warn' or 'error'", c.Logging.Level)
	}
	for i, bound := range c.Prometheus.GRPCLatencyBuckets {
		key := keyPath("prometheus", "grpc_latency_buckets", i)
		if math.IsNaN(bound) || math.IsInf(bound, 0) {
			found.add(key, "%v is not a bound: write finite numbers", bound)
		} else if i > 0 && bound <= c.Prometheus.GRPCLatencyBuckets[i-1] {
			found.add(key, "%v comes after %v: write the bounds in rising order", bound, c.Prometheus.GRPCLatencyBuckets[i-1])
		}
	}
	if r := c.Tracing.SampleRatio; !(r >= 0 && r <= 1) {
		found.add(keyPath("tracing", "sample_ratio"), "%v is no share of the calls: write a number from 0 to 1", r)
	}
	if c.Tracing.OTLPEndpoint != "" {
		if _, _, err := net.SplitHostPort(c.Tracing.OTLPEndpoint); err != nil {
			found.add(keyPath("tracing", "otlp_endpoint"), "%v: write host:port, as collector.internal:4317", err)
		}
	}
	atLeast(found, keyPath("replication", "batch_size"), c.Replication.BatchSize, 1)
	atLeast(found, keyPath("replication", "parallel_storage_processing_workers"), c.Replication.ParallelStorageProcessingWorkers, 1)
	atLeast(found, keyPath("replication", "attempts"), c.Replication.Attempts, 1)
	atLeast(found, keyPath("yamux", "maximum_stream_window_size_bytes"), c.Yamux.MaximumStreamWindowSizeBytes, minStreamWindowBytes)
	atLeast(found, keyPath("limits", "max_concurrent_streams"), c.Limits.MaxConcurrentStreams, 1)
	atLeast(found, keyPath("limits", "max_connections"), c.Limits.MaxConnections, 10)
	atLeast(found, keyPath("limits", "max_concurrent_writes"), c.Limits.MaxConcurrentWrites, 1)
	atLeast(found, keyPath("limits", "max_waiting_writes"), c.Limits.MaxWaitingWrites, 1)
	atLeast(found, keyPath("yamux", "accept_backlog"), c.Yamux.AcceptBacklog, minAcceptBacklog)
}

func (c *Config) checkConsistency(found *findings) {
	oneOf(found, keyPath("consistency", "mode"), c.Consistency.Mode, "strong", "eventual")
	oneOf(found, keyPath("consistency", "when_short"), c.Consistency.WhenShort, "degrade", "block")
	oneOf(found, keyPath("consistency", "reads_without_lease"), c.Consistency.ReadsWithoutLease, "serve", "refuse")
	oneOf(found, keyPath("consistency", "conflicts"), c.Consistency.Conflicts, "serve", "refuse")
	atLeast(found, keyPath("consistency", "copies"), c.Consistency.Copies, 1)
	atLeast(found, keyPath("consistency", "queue_limit"), c.Consistency.QueueLimit, 0)
}

func (c *Config) checkTimes(found *findings) {
	positive(found, keyPath("config_command_timeout"), c.ConfigCommandTimeout)
	positive(found, keyPath("prometheus", "scrape_timeout"), c.Prometheus.ScrapeTimeout)
	positive(found, keyPath("replication", "copy_timeout"), c.Replication.CopyTimeout)
	positive(found, keyPath("replication", "retry_min"), c.Replication.RetryMin)
	positive(found, keyPath("consistency", "write_timeout"), c.Consistency.WriteTimeout)
	positive(found, keyPath("limits", "send_stall_timeout"), c.Limits.SendStallTimeout)
	positive(found, keyPath("detection", "probe_interval"), c.Detection.ProbeInterval)
	positive(found, keyPath("detection", "probe_timeout"), c.Detection.ProbeTimeout)
	positive(found, keyPath("detection", "silence"), c.Detection.Silence)
	positive(found, keyPath("detection", "stall"), c.Detection.Stall)
	atLeast(found, keyPath("detection", "report_age"), c.Detection.ReportAge, minReportAge)
	positive(found, keyPath("failover", "return_after"), c.Failover.ReturnAfter)
	positive(found, keyPath("failover", "pause_deadline"), c.Failover.PauseDeadline)
	positive(found, keyPath("failover", "retire_after"), c.Failover.RetireAfter)
	if c.Failover.ReturnAfterMax < c.Failover.ReturnAfter {
		found.add(keyPath("failover", "return_after_max"), "%v is less than return_after (%v): raise it", c.Failover.ReturnAfterMax, c.Failover.ReturnAfter)
	}
	if c.Replication.RetryMax < c.Replication.RetryMin {
		found.add(keyPath("replication", "retry_max"), "%v is less than retry_min (%v): raise it", c.Replication.RetryMax, c.Replication.RetryMin)
	}

	notNegative(found, keyPath("graceful_stop_timeout"), c.GracefulStopTimeout)
	notNegative(found, keyPath("drain_wait"), c.DrainWait)
	notNegative(found, keyPath("replication", "pause_budget"), c.Replication.PauseBudget)
	notNegative(found, keyPath("reconciliation", "scheduling_interval"), c.Reconciliation.SchedulingInterval)
	if s := c.BackgroundVerification.FsckSample; !(s >= 0 && s <= 1) { // NaN, too
		found.add(keyPath("background_verification", "fsck_sample"), "%v is not a share: write a number from 0 to 1", s)
	}
	notNegative(found, keyPath("consistency", "intent_linger"), c.Consistency.IntentLinger)
	notNegative(found, keyPath("consistency", "queue_timeout"), c.Consistency.QueueTimeout)
	notNegative(found, keyPath("consistency", "lease_wait"), c.Consistency.LeaseWait)
	notNegative(found, keyPath("failover", "mass_failure_window"), c.Failover.MassFailureWindow)
	notNegative(found, keyPath("failover", "warm_up"), c.Failover.WarmUp)
}

func oneOf(found *findings, key []string, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		found.add(key, "%q is not known: write '%s'", value, strings.Join(allowed, "' or '"))
	}
}

func atLeast[N cmp.Ordered](found *findings, key []string, value, minimum N) {
	if value < minimum {
		found.add(key, "%v is too small: write %v or more", value, minimum)
	}
}

func positive(found *findings, key []string, d Duration) {
	if d <= 0 {
		found.add(key, "%v is not a time that can pass: write more than 0s", d)
	}
}

func notNegative(found *findings, key []string, d Duration) {
	if d < 0 {
		found.add(key, "%v is negative: write 0s or more", d)
	}
}
