package throttle

import "time"

// Pace estimates how long a write waits in a line by how fast the line has moved. The zero value
// knows nothing, and estimates no wait.
type Pace struct {
	last   time.Time
	mean   time.Duration
	moving bool
	long   time.Time // since then a write would have waited for longWait; zero: it would not
}

const (
	// paceWeight is the weight of the past in the mean, against 1 for the newest interval.
	paceWeight = 7
	// paceClip is by which factor one interval may exceed the mean: a failover is no pace.
	paceClip = 4
	// A line in which a write has waited for longWait since longFor is no burst that passes.
	longWait, longFor = time.Second, 3 * time.Second
	// burstShare is which part of its time a write may wait, as a divisor, and loadShare if the line
	// has been long for longFor.
	burstShare, loadShare = 2, 8
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
	p.look(now, left)
}

// Skip has the time until now say nothing of the pace.
func (p *Pace) Skip(now time.Time) { p.last = now }

// Wait is how long a write waits that has some writes ahead of it in the line.
func (p *Pace) Wait(ahead int) time.Duration { return time.Duration(ahead) * p.mean }

// TooLong tells whether a write that arrives with so many ahead of it, and has so much time, is to be
// refused, because it would wait for a large part of that. A burst may fill a line, as the writes do that
// a failover has held up. But a line that stays long comes of more writes than the storages can do: it
// would be there for as long after that has ended, and every write would wait for those that came too
// many. Compare K. Nichols and V. Jacobson, "Controlling Queue Delay", 2012.
func (p *Pace) TooLong(now time.Time, ahead int, given time.Duration) bool {
	p.look(now, ahead)
	share := time.Duration(burstShare)
	if !p.long.IsZero() && now.Sub(p.long) >= longFor {
		share = loadShare
	}
	return p.Wait(ahead) > given/share
}

// look notes since when the line is long.
func (p *Pace) look(now time.Time, ahead int) {
	switch {
	case p.Wait(ahead) < longWait:
		p.long = time.Time{}
	case p.long.IsZero():
		p.long = now
	}
}
