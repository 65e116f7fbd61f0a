package plan

import "time"

const (
	// CallerGone is how long a call may have an effect after its caller is gone, under any
	// deadline. A storage asks a silent connection for a sign of life after 5 minutes,
	// waits 20 s for it, and then ends the calls of the connection.
	CallerGone = 6 * time.Minute
	// CopyLongest is the deadline of a copy that lasts for as long as it makes progress. No
	// copy is expected to meet it.
	CopyLongest = 7 * 24 * time.Hour
	// doublings bounds how often the time without visible progress is doubled.
	doublings = 5
)

// Copying is all on which it depends how long a copy may take. Nothing in it is changed.
type Copying struct {
	// Size is that of the source's replica in bytes, 0 if it is not known.
	Size int64
	// Fresh tells that the target has no replica: a storage builds one out of sight, so that
	// its progress cannot be seen.
	Fresh bool
	// Floor is the time for an empty repository, Rate the bytes a second that are expected at
	// least, and Most the longest time without visible progress.
	Floor, Most time.Duration
	Rate        int64
	// Timeouts is how many copies of the repository in a row did not end in their time.
	Timeouts int
}

// Allowance is how long a copy may take.
type Allowance struct {
	// Deadline is that of the calls, and Bound how long they may have an effect after the
	// attempt has ended unseen: the intent records it.
	Deadline, Bound time.Duration
	// Still is how long the copy may show no progress; 0: the deadline says it.
	Still time.Duration
}

// Allow decides how long a copy may take. A copy that ought to end soon carries that time as
// its deadline, so that its target is free again soon after a crash. The time doubles with each
// copy that did not end in it. One that takes longer may last for as long as it makes progress.
func (c Copying) Allow() Allowance {
	expected := c.Floor + time.Duration(float64(c.Size)/float64(c.Rate)*float64(time.Second))
	limit := min(expected, c.Most).Truncate(time.Millisecond) // an intent counts whole ones
	if timed := doubled(limit, c.Timeouts); timed <= CallerGone && expected <= max(c.Most, CallerGone) {
		return Allowance{Deadline: timed, Bound: timed}
	}
	if c.Fresh {
		limit = max(limit, expected).Truncate(time.Millisecond)
	}
	return Allowance{Deadline: CopyLongest, Bound: CallerGone, Still: doubled(limit, c.Timeouts-1)}
}

// doubled is d, doubled so many times, at most doublings.
func doubled(d time.Duration, times int) time.Duration {
	return d << min(max(0, times), doublings)
}

// Progress is the observed progress of a copy: the size of the target's replica.
type Progress struct {
	size int64
	at   time.Duration // when it changed last
}

// Begin begins to watch a copy.
func (p *Progress) Begin(now time.Duration) { *p = Progress{size: -1, at: now} }

// Note notes the size at that time. (▲ replicator-copy-of-a-total)
func (p *Progress) Note(now time.Duration, size int64) {
	if size != p.size {
		p.size, p.at = size, now
	}
}

// Stalled tells whether the copy has shown no progress for longer than still.
// (▲ replicator-copy-without-end)
func (p *Progress) Stalled(now, still time.Duration) bool { return now-p.at > still }
