package throttle

import "time"

// Pace estimates how long a write waits in a line by how fast the line has moved. The zero value
// knows nothing, and estimates no wait.
type Pace struct {
	last   time.Time
	mean   time.Duration
	moving bool
}

const (
	// paceWeight is the weight of the past in the mean, against 1 for the newest interval.
	paceWeight = 7
	// paceClip is by which factor one interval may exceed the mean: a failover is no pace.
	paceClip = 4
)

// Moved notes that the first write of the line went on, and that left writes wait behind it. A line
// that was empty since says nothing of the next one.
func (p *Pace) Moved(now time.Time, left int) {
	interval := now.Sub(p.last)
	switch {
	case !p.moving:
		p.mean = 0
	case p.mean == 0:
		p.mean = interval
	default:
		p.mean = (paceWeight*p.mean + min(interval, paceClip*p.mean)) / (paceWeight + 1)
	}
	p.last, p.moving = now, left > 0
}

// Wait is how long a write waits that has some writes ahead of it in the line.
func (p *Pace) Wait(ahead int) time.Duration { return time.Duration(ahead) * p.mean }
