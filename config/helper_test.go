package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// minimal is the shortest valid text. What a test puts before it is top-level,
// what it puts after it belongs to the last node or opens a table.
const minimal = `
listen_addr = ":2305"
[database]
host = "/run/postgresql"
[[virtual_storage]]
name = "default"
[[virtual_storage.node]]
storage = "gitaly-1"
address = "tcp://gitaly-1:8075"
`

func noEnv(string) string { return "" }

func parseText(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse([]byte(text), noEnv)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

// faultsIn returns the faults of a text that must have some.
func faultsIn(t *testing.T, err error) Faults {
	t.Helper()
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) == 0 {
		t.Fatalf("error is %T (%v), want faults", err, err)
	}
	return faults
}

// onlyFault parses a text and returns its one fault.
func onlyFault(t *testing.T, text string) Fault {
	t.Helper()
	_, err := Parse([]byte(text), noEnv)
	faults := faultsIn(t, err)
	if len(faults) != 1 {
		t.Fatalf("faults:\n%v\nwant one", faults)
	}
	return faults[0]
}

// must ends a test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what a test got with what is right.
func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func writeFile(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(content), 0o600))
	// Apart from WriteFile, since the umask takes bits away there.
	must(t, os.Chmod(path, mode))
	return path
}

func dotted(f Fault) string { return strings.Join(f.Key, ".") }
