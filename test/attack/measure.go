package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"praefect/test/cluster"
)

// cost is the use that an instance makes of its host.
type cost struct {
	goroutines, files int
	rss               int64 // bytes
}

// String says it for people.
func (c cost) String() string {
	return fmt.Sprintf("%d goroutines, %d MB, %d file descriptors", c.goroutines, c.rss>>20, c.files)
}

func (c *cost) atLeast(other cost) {
	c.goroutines, c.files, c.rss = max(c.goroutines, other.goroutines), max(c.files, other.files), max(c.rss, other.rss)
}

// highest is the most that one of the instances takes now.
func highest(ctx context.Context, instances []*cluster.Instance) (most cost, err error) {
	for _, i := range instances {
		c, err := processCost(i.PID())
		if err != nil {
			return most, fmt.Errorf("look at %s: %w", i.Label(), err)
		}
		c.goroutines = goroutines(ctx, i)
		most.atLeast(c)
	}
	return most, nil
}

// goroutines are as the instance says; one that is too busy to say counts when it can.
func goroutines(ctx context.Context, i *cluster.Instance) int {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	metrics, err := i.Metrics(ctx)
	if err != nil {
		return 0
	}
	n, _ := metrics.Sum("go_goroutines")
	return int(n)
}

// processCost is the cost of a process as the kernel knows it.
func processCost(pid int) (c cost, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return c, err
	}
	_, rest, found := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return c, errors.New("the kernel tells of no memory: the process has ended")
	}
	kilo, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return c, fmt.Errorf("read the memory: %w", err)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return c, err
	}
	return cost{rss: kilo << 10, files: len(files)}, nil
}

// watching looks at instances all the time.
type watching struct {
	stop  chan struct{}
	ended chan struct{} // closed when most and err are set
	most  cost
	err   error
}

func (w *harness) watch(ctx context.Context, instances []*cluster.Instance) *watching {
	x := &watching{stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(x.ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			now, err := highest(ctx, instances)
			x.most.atLeast(now)
			if err != nil {
				x.err = err
				return
			}
			select {
			case <-tick.C:
			case <-x.stop:
				return
			}
		}
	}()
	return x
}

// end returns the most that any of the instances took at any time.
func (x *watching) end() (cost, error) {
	close(x.stop)
	<-x.ended
	return x.most, x.err
}

// longestLine is the length of the longest line of a file.
func longestLine(path string) (longest int, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		longest = max(longest, len(line))
	}
	return longest, nil
}
