package scenario

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress prints lines about something that takes time, until stop is called: how much of it has
// passed, and what news says then. The first line comes after two seconds, and there are 60 at most
// if it takes no longer than whole.
func Progress(w io.Writer, what string, whole time.Duration, news func() string) (stop func()) {
	began, ended := time.Now(), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(progressEvery(whole))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "  %s: %v of %v%s\n", what, time.Since(began).Round(time.Second), whole, news())
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		running.Wait()
	}
}

// progressEvery is the time between two lines.
func progressEvery(whole time.Duration) time.Duration {
	const soonest, lines = 2 * time.Second, 60
	return max(soonest, whole/lines)
}
