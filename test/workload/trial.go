package workload

import (
	"os"
	"strconv"
	"testing"
)

// EagerRepair are settings by which repairs take seconds instead of minutes: tables
// of their own, to be laid beside others.
const EagerRepair = `
[replication]
parallel_storage_processing_workers = 4
copy_timeout = "4s"
pause_budget = "2s"
retry_min = "100ms"
retry_max = "1s"
attempts = 1000
[reconciliation]
scheduling_interval = "1s"
`

// FromEnv reads a number from the environment for a test.
func FromEnv(t testing.TB, name string, fallback uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("read $%s: %v", name, err)
	}
	return n
}
