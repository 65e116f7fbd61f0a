//go:build failpoint

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// failpoints returns the function that ends the process, as kill -9 does, at the failpoint that
// PRAEFECT_FAILPOINT names: "after-open" the first time, "after-open:3" the
// third. Only builds for crash tests have it.
func failpoints(getenv func(string) string) func(string) {
	name, times, _ := strings.Cut(getenv("PRAEFECT_FAILPOINT"), ":")
	if name == "" {
		return nil
	}
	n, err := strconv.ParseInt(times, 10, 64)
	if times != "" && err != nil {
		panic(fmt.Sprintf("PRAEFECT_FAILPOINT: %q is no number", times))
	}
	var passed atomic.Int64
	return func(failpoint string) {
		if failpoint != name || passed.Add(1) != max(n, 1) {
			return
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {} // nothing more happens here
	}
}
