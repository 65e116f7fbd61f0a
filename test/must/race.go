//go:build race

package must

// Race tells that the race detector is on: everything is slow then, and a pool forgets a quarter of the values put into it.
const Race = true
