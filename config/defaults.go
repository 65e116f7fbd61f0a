package config

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"
)

// defaultDataDir is where the replicated state lies when neither the file nor
// systemd says otherwise.
const defaultDataDir = "/var/lib/praefect/raft"

// defaultDatabaseHost is where Postgres listens on the same machine, as its
// packages configure it.
const defaultDatabaseHost = "/var/run/postgresql"

// defaults is the only place where a setting gets the value that it has when the file does not set
// it. Those that depend on the machine are in fillIn.
func defaults() Config {
	return Config{
		GracefulStopTimeout:  Duration(time.Minute),
		DrainWait:            0,
		ConfigCommandTimeout: Duration(30 * time.Second),
		TLS:                  TLS{MinVersion: "1.2"},
		Logging:              Logging{Format: "text", Level: "info"},
		Prometheus: Prometheus{
			ScrapeTimeout:      Duration(10 * time.Second),
			GRPCLatencyBuckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 1, 10, 30, 60, 300, 1500},
		},
		Tracing: Tracing{SampleRatio: 0.01},
		Database: Database{
			Port:           5432,
			ConnectTimeout: Duration(5 * time.Second),
		},
		Failover: Failover{
			Enabled:           true,
			ReturnAfter:       Duration(10 * time.Second),
			ReturnAfterMax:    Duration(5 * time.Minute),
			MassFailureWindow: Duration(5 * time.Second),
			WarmUp:            Duration(5 * time.Second),
			PauseDeadline:     Duration(8 * time.Second),
			RetireAfter:       Duration(10 * time.Minute),
		},
		Replication: Replication{
			BatchSize:                        10,
			ParallelStorageProcessingWorkers: 1,
			CopyTimeout:                      Duration(time.Hour),
			PauseBudget:                      Duration(5 * time.Second),
			RetryMin:                         Duration(time.Second),
			RetryMax:                         Duration(5 * time.Minute),
			Attempts:                         10,
		},
		Reconciliation:         Reconciliation{SchedulingInterval: Duration(5 * time.Minute)},
		BackgroundVerification: BackgroundVerification{VerificationInterval: Duration(7 * 24 * time.Hour), FsckSample: 0.05},
		Consistency: Consistency{
			Mode:              "strong",
			Copies:            2,
			WhenShort:         "degrade",
			ReadsWithoutLease: "serve",
			Conflicts:         "serve",
			WriteTimeout:      Duration(time.Hour),
			IntentLinger:      Duration(3 * time.Second),
			QueueTimeout:      Duration(10 * time.Second),
			QueueLimit:        1000,
			LeaseWait:         Duration(2 * time.Second),
		},
		Detection: Detection{
			ProbeInterval: Duration(500 * time.Millisecond),
			ProbeTimeout:  Duration(time.Second),
			Silence:       Duration(1500 * time.Millisecond),
			Stall:         Duration(5 * time.Second),
			ReportAge:     Duration(300 * time.Millisecond),
		},
		Yamux: Yamux{MaximumStreamWindowSizeBytes: 256 << 10, AcceptBacklog: 256},
		Limits: Limits{
			MaxConcurrentStreams: 1000, MaxConnections: 10_000, MaxConcurrentWrites: 256, MaxWaitingWrites: 1000,
			SendStallTimeout: Duration(10 * time.Minute),
		},
		Forwarding: Forwarding{Frames: true},
		Raft:       Raft{Profile: "fast"},
	}
}

// fillIn adds the defaults that depend on the machine, and brings tolerated
// spellings of values to one form.
func (c *Config) fillIn(getenv func(string) string, found *findings) {
	normal := defaults()
	for _, enum := range []struct{ value, fallback *string }{
		{&c.TLS.MinVersion, &normal.TLS.MinVersion},
		{&c.Logging.Format, &normal.Logging.Format},
		{&c.Logging.Level, &normal.Logging.Level},
		{&c.Consistency.Mode, &normal.Consistency.Mode},
		{&c.Consistency.WhenShort, &normal.Consistency.WhenShort},
		{&c.Consistency.ReadsWithoutLease, &normal.Consistency.ReadsWithoutLease},
		{&c.Consistency.Conflicts, &normal.Consistency.Conflicts},
		{&c.Raft.Profile, &normal.Raft.Profile},
	} {
		// Generated files set keys to nothing where they mean the default.
		*enum.value = cmp.Or(*enum.value, *enum.fallback)
	}
	c.ListenAddr = strings.TrimPrefix(c.ListenAddr, "tcp://")
	c.TLSListenAddr = strings.TrimPrefix(c.TLSListenAddr, "tls://")
	c.PrometheusListenAddr = strings.TrimPrefix(c.PrometheusListenAddr, "tcp://")
	c.Console.ListenAddr = strings.TrimPrefix(c.Console.ListenAddr, "tcp://")
	if path, ok := strings.CutPrefix(c.SocketPath, "unix:"); ok {
		c.SocketPath = strings.TrimPrefix(path, "//")
	}
	c.TLS.MinVersion = strings.TrimSpace(strings.TrimPrefix(strings.ToLower(c.TLS.MinVersion), "tls"))
	if c.Database.Host == "" {
		c.Database.Host = cmp.Or(getenv("PGHOST"), defaultDatabaseHost)
		c.Warnings = append(c.Warnings, Warning{
			Key: "database.host", Line: found.doc.position(keyPath("database")).line,
			Text: fmt.Sprintf("not set: the queue of repair work is looked for at %q; without it nothing is repaired", c.Database.Host),
		})
	}
	c.Database.SSLMode = c.Database.sslMode()
	if c.Raft.DiskTimeout == 0 {
		c.Raft.DiskTimeout = diskTimeout
		if c.Raft.ListenAddr == "" {
			c.Raft.DiskTimeout = diskTimeoutIfAlone
		}
	}
	c.Raft.Named = c.Raft.Name != ""
	if !c.Raft.Named {
		name, err := os.Hostname()
		if err != nil {
			found.add(keyPath("raft", "name"), "not set, and the host has no name to take its place: %v", err)
		}
		c.Raft.Name = name
	}
	// systemd lists several directories with colons between them.
	ofSystemd, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":")
	c.Raft.DataDir = cmp.Or(c.Raft.DataDir, ofSystemd, defaultDataDir)
}
