package workload

import (
	"sync"
	"time"
)

// Workers repeat steps until Stop. Make them with NewWorkers; their owner calls Stop.
type Workers struct {
	stop    chan struct{} // closed by Stop
	ended   sync.Once
	running sync.WaitGroup
}

// NewWorkers returns workers without a step.
func NewWorkers() *Workers { return &Workers{stop: make(chan struct{})} }

// Start repeats a step in a goroutine of its own, at most once in every interval, the first time
// after begin and one interval.
func (w *Workers) Start(begin, every time.Duration, step func(turn int)) {
	w.running.Go(func() {
		first := time.NewTimer(begin)
		defer first.Stop()
		select {
		case <-w.stop:
			return
		case <-first.C:
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for turn := 0; ; turn++ {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				step(turn)
			}
		}
	})
}

// Stop lets every worker finish its step, and returns when all have. It may be called again.
func (w *Workers) Stop() {
	w.ended.Do(func() { close(w.stop) })
	w.running.Wait()
}
