//go:build race

package sim

// raceEnabled tells that the race detector makes everything slow; one schedule
// has a single thread anyway.
const raceEnabled = true
