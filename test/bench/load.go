package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is a number of clients, each of which makes one call after the other.
type load struct {
	clients int
	slice   time.Duration
	call    func(n int) error // n counts the calls of all clients
}

// run returns the sorted latencies of the calls made within the slice. The
// first error ends it.
func (l load) run() ([]time.Duration, error) {
	end := time.Now().Add(l.slice)
	return l.while(func(_ int, start time.Time) bool { return start.Before(end) })
}

// lap returns the sorted latencies of so many calls.
func (l load) lap(calls int) ([]time.Duration, error) {
	return l.while(func(n int, _ time.Time) bool { return n <= calls })
}

// while makes the n-th call if it goes on at its start.
func (l load) while(goesOn func(n int, start time.Time) bool) ([]time.Duration, error) {
	var (
		wg      sync.WaitGroup
		calls   atomic.Int64
		samples = make([][]time.Duration, l.clients)
		errs    = make([]error, l.clients)
	)
	for i := range l.clients {
		wg.Go(func() {
			for start := time.Now(); ; {
				n := int(calls.Add(1))
				if !goesOn(n, start) {
					return
				}
				if errs[i] = l.call(n); errs[i] != nil {
					return
				}
				now := time.Now()
				samples[i] = append(samples[i], now.Sub(start))
				start = now
			}
		})
	}
	wg.Wait()
	all := slices.Concat(samples...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no call ended within %v", l.slice)
	}
	slices.Sort(all)
	return all, nil
}

// cpuSeconds is the processor time that a process has used, see proc(5).
func cpuSeconds(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name in brackets, which may hold blanks.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const utime, stime, ticksPerSecond = 11, 12, 100
	var ticks float64
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return ticks / ticksPerSecond, nil
}
