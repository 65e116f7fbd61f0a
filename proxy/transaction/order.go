package transaction

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/throttle"
)

const (
	// orderedFor is for how long the writes of a repository are ordered after two of them
	// were seen to want the same locks.
	orderedFor = 10 * time.Second
	// orderedKept bounds the repositories whose writes are ordered. For one beyond it
	// another is forgotten.
	orderedKept = 4096
	// insideFor is how long a write may keep the next one of its repository waiting, and
	// lineFor how long it waits itself at most: it goes on then, unordered.
	insideFor = 3 * time.Second
	lineFor   = 10 * time.Second
	// lineLimit is how many writes of a repository wait. ▲ TestOrder_bounds: More are refused:
	// writes that were sent beyond the pace of git would only slow it down.
	lineLimit = 32
)

// ErrCrowded ends a write for which too many writes of its repository wait, or so many that it would
// wait for a large part of its time.
var ErrCrowded = errors.New("too many writes of the repository wait for its locks; try again")

// order remembers the repositories whose writes contend, and has the writes of each go one
// after the other. The writes of other instances are ordered by the locks
// of the primary; git waits for these in no order, so that each instance should have but
// one write that waits there.
type order struct {
	mu    sync.Mutex
	lines map[state.Key]*line // guarded by mu
}

// line is the writes of one repository. guarded by order.mu
type line struct {
	until   time.Time // ordered until then
	inside  int       // writes that keep others waiting
	waiting []chan struct{}
	pace    throttle.Pace
}

// contended has the writes of a repository ordered from now on. Writes that are under way
// already keep the others waiting, each until leave is called for it: a write that has
// waited for a lock for a while asks for it rarely, and newer ones would get before it.
func (o *order) contended(key state.Key, now time.Time, underWay int) (leave []func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lines[key]
	if l == nil {
		o.makeRoom(now)
		l = &line{}
		o.lines[key] = l
	} else {
		underWay = 0 // they are in the line
	}
	l.until = now.Add(orderedFor)
	l.inside += underWay
	for range underWay {
		leave = append(leave, o.leave(l, key, nil))
	}
	return leave
}

// leave returns a function that has a write that is inside keep no others waiting any more, which also
// happens by itself. hangs tells whether the write waits for a primary; nil: it does not.
func (o *order) leave(l *line, key state.Key, hangs func() bool) func() {
	var once sync.Once
	out := func(how step) { once.Do(func() { o.out(l, key, how) }) }
	timer := time.AfterFunc(insideFor, func() {
		if hangs != nil && hangs() {
			out(hung)
		} else {
			out(late)
		}
	})
	return func() {
		timer.Stop()
		out(ended)
	}
}

// step is how a write made room for the next one of its line.
type step int

const (
	ended step = iota
	late       // it takes long
	hung       // it waits for a primary
)

// makeRoom forgets lines that are over, and one more if that is not enough. Caller holds mu.
func (o *order) makeRoom(now time.Time) {
	if o.lines == nil {
		o.lines = make(map[state.Key]*line)
	}
	if len(o.lines) < orderedKept {
		return
	}
	for key, l := range o.lines {
		if l.idle() && !now.Before(l.until) {
			delete(o.lines, key)
		}
	}
	for key, l := range o.lines {
		if len(o.lines) < orderedKept {
			return
		}
		if l.idle() {
			delete(o.lines, key)
		}
	}
}

// late tells that another write would wait for a large part of its time.
func (l *line) late(now, until time.Time) bool {
	ahead := max(0, l.inside-1) + len(l.waiting)
	return !l.idle() && !until.IsZero() && l.pace.TooLong(now, ahead, until.Sub(now))
}

func (l *line) idle() bool { return l.inside == 0 && len(l.waiting) == 0 }

// ordered tells whether the writes of one of the repositories are ordered now.
func (o *order) ordered(keys []state.Key, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(keys, func(key state.Key) bool {
		l := o.lines[key]
		return l != nil && now.Before(l.until)
	})
}

// Enter waits until it is the turn of a write of a repository whose writes are ordered; of
// others it is at once. leave is called when the write has ended. hangs tells whether it waits for a
// primary; it must not block. The error is ErrCrowded.
func (m *Manager) Enter(ctx context.Context, key state.Key, hangs func() bool) (leave func(), err error) {
	if leave, err = m.order.enter(ctx, key, hangs); err != nil {
		m.metrics.crowded.WithLabelValues(key.VirtualStorage).Inc()
	}
	return leave, err
}

func (o *order) enter(ctx context.Context, key state.Key, hangs func() bool) (leave func(), err error) {
	until, _ := ctx.Deadline()
	l, turn, err := o.join(key, until)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return func() {}, nil
	}
	if turn != nil {
		timer := time.NewTimer(lineFor)
		defer timer.Stop()
		select {
		case <-turn:
		case <-timer.C:
			o.pass(l, turn)
		case <-ctx.Done():
			o.pass(l, turn)
		}
	}
	return o.leave(l, key, hangs), nil
}

// join puts a write into the line of its repository; without a line it goes on, and
// without a channel it is inside at once. until is its deadline, zero for none.
func (o *order) join(key state.Key, until time.Time) (*line, chan struct{}, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lines[key]
	switch now := time.Now(); {
	case l == nil:
		return nil, nil, nil
	case l.idle() && !now.Before(l.until):
		delete(o.lines, key)
		return nil, nil, nil
	case len(l.waiting) >= lineLimit, l.late(now, until):
		return nil, nil, ErrCrowded
	case !l.idle(): // they contend still
		l.until = now.Add(orderedFor)
	}
	if l.idle() {
		l.inside++
		return l, nil, nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	return l, turn, nil
}

// pass has a write go on that does not wait any longer.
func (o *order) pass(l *line, turn chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(l.waiting)
	if l.waiting = slices.DeleteFunc(l.waiting, func(c chan struct{}) bool { return c == turn }); len(l.waiting) < n {
		l.inside++
	}
}

// out lets the next write in once none is inside. The pace of the line is that at which its writes end,
// also those that were under way before there was a line. Writes that hang, as all do while a primary is
// paused, say nothing of how fast the line moves once that is over: those that come meanwhile wait, and
// are not refused.
func (o *order) out(l *line, key state.Key, how step) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.inside--
	switch how {
	case ended:
		l.pace.Moved(time.Now(), l.inside+len(l.waiting))
	case late:
		l.pace.Skip(time.Now())
	case hung:
		l.pace = throttle.Pace{}
	}
	if l.inside == 0 && len(l.waiting) > 0 {
		l.inside++
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	}
	if l.idle() && o.lines[key] == l && !time.Now().Before(l.until) {
		delete(o.lines, key)
	}
}
