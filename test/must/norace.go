//go:build !race

package must

// Race tells that the race detector is on.
const Race = false
