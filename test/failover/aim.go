package main

import (
	"fmt"
	"time"
)

// aim is the result that a step should have.
type aim struct {
	what string
	met  func(figure) bool
}

// noWriteFailed and noReadFailed are about all clients but the clients of an instance
// that is hit.
func noWriteFailed() aim {
	return aim{"no write fails", func(f figure) bool { return f.WritesFailed == 0 }}
}

func noReadFailed() aim {
	return aim{"no read fails", func(f figure) bool { return f.ReadsFailed == 0 }}
}

func medianGap(bound time.Duration) aim {
	return aim{fmt.Sprintf("median gap below %v", bound), func(f figure) bool { return f.WritersGap.Median < millis(bound) }}
}

func longestGap(bound time.Duration) aim {
	return aim{fmt.Sprintf("every gap below %v", bound), func(f figure) bool { return f.WritersGap.Max < millis(bound) }}
}

// nearlyEveryGap is about the longest gap of a run, in 99 of 100 runs.
func nearlyEveryGap(bound time.Duration) aim {
	return aim{fmt.Sprintf("p99 of the longest gap below %v", bound), func(f figure) bool { return f.gapP99 < millis(bound) }}
}

func allAvailable() aim {
	return aim{"no repository is unavailable", func(f figure) bool { return f.UnavailableRepositories == 0 }}
}

func slowest(bound time.Duration) aim {
	return aim{fmt.Sprintf("nobody waits for more than %v", bound), func(f figure) bool { return f.Slowest.Max <= millis(bound) }}
}

func backWithin(bound time.Duration) aim {
	return aim{fmt.Sprintf("its own clients are back within %v", bound), func(f figure) bool { return f.HitBack.Max <= millis(bound) }}
}

// refusedWithin allows for a write on its way when the lease ends.
func refusedWithin(lease time.Duration) aim {
	return aim{fmt.Sprintf("its own writes are refused within %v", lease), func(f figure) bool { return f.HitUntil.Max <= millis(lease) }}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
