package console

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"praefect/proxy/admin"
)

const (
	maxStreams = 32
	// firstJobs and firstRepositories are how many of them the pages have without asking for more.
	firstJobs         = 200
	firstRepositories = 100
	firstChanges      = 200
)

// part is one thing that the pages always know, and asks the cluster for it.
type part struct {
	name  string
	every time.Duration
	ask   func(context.Context, Cluster) (any, error)
}

// parts are asked apart from each other, so that one that hangs holds back no other: without
// Postgres only the queue is unknown, without a leader only the other instances are.
var parts = []part{
	{"status", 500 * time.Millisecond, func(ctx context.Context, c Cluster) (any, error) { return c.Status(ctx, admin.StatusRequest{}) }},
	{"raft", time.Second, func(ctx context.Context, c Cluster) (any, error) { return c.RaftStatus(ctx) }},
	{"history", time.Second, func(ctx context.Context, c Cluster) (any, error) {
		return c.History(ctx, admin.HistoryRequest{Limit: firstChanges})
	}},
	{"repositories", 2 * time.Second, func(ctx context.Context, c Cluster) (any, error) {
		return c.Dataloss(ctx, admin.DatalossRequest{Limit: firstRepositories})
	}},
	{"queue", 5 * time.Second, func(ctx context.Context, c Cluster) (any, error) {
		return c.QueueList(ctx, admin.QueueListRequest{Limit: firstJobs})
	}},
}

// known is the newest state of a part.
type known struct {
	// At is when Data was true; nil if it was never asked with success.
	At   *time.Time      `json:"at"`
	Data json.RawMessage `json:"data,omitempty"`
	// Error is why there is nothing newer, and Since when that began; empty and nil if Data is new.
	Error string     `json:"error,omitempty"`
	Since *time.Time `json:"since,omitempty"`
}

// feed asks the cluster while pages watch, and hands the news to each of them. A page that
// takes nothing has the newest state waiting, and no more than that.
type feed struct {
	cluster Cluster
	wake    map[string]chan struct{} // by the name of a part; holds 1

	mu       sync.Mutex
	known    map[string]known  // guarded by mu
	watchers map[*watcher]bool // guarded by mu; at most maxStreams
}

// watcher is one page that watches.
type watcher struct {
	stale map[string]bool // guarded by feed.mu: parts that it has not taken yet
	ready chan struct{}   // holds 1
}

func newFeed(cluster Cluster) *feed {
	f := &feed{cluster: cluster, wake: make(map[string]chan struct{}), known: make(map[string]known), watchers: make(map[*watcher]bool)}
	for _, p := range parts {
		f.wake[p.name] = make(chan struct{}, 1)
	}
	return f
}

// run asks until ctx ends.
func (f *feed) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() { f.follow(ctx, p) })
	}
	all.Wait()
}

func (f *feed) follow(ctx context.Context, p part) {
	again := time.NewTicker(p.every)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake[p.name]:
		case <-again.C:
		}
		if f.watched() {
			f.learn(ctx, p)
		}
	}
}

func (f *feed) learn(ctx context.Context, p part) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	data, err := p.ask(asking, f.cluster)
	if ctx.Err() != nil {
		return
	}
	var text json.RawMessage
	if err == nil {
		text, err = json.Marshal(data)
	}
	f.publish(p.name, time.Now().UTC(), text, err)
}

// publish notes the newest state of a part. A part that did not change is not sent again.
func (f *feed) publish(name string, now time.Time, data json.RawMessage, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.known[name]
	after := before.next(now, data, err)
	f.known[name] = after
	if bytes.Equal(before.Data, after.Data) && before.Error == after.Error {
		return
	}
	for w := range f.watchers {
		w.tell(name)
	}
}

// next is the state after a part was asked: without an answer, the last one stays, with the
// time since when nothing newer is known.
func (k known) next(now time.Time, data json.RawMessage, err error) known {
	if err == nil {
		return known{At: &now, Data: data}
	}
	if k.Error == "" {
		k.Since = &now
	}
	k.Error = faultOf(err).Message
	return k
}

func (w *watcher) tell(name string) {
	w.stale[name] = true
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (f *feed) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watchers) > 0
}

// watch makes a watcher, which begins with all that is known; nil if there are too many.
func (f *feed) watch() *watcher {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) >= maxStreams {
		return nil
	}
	w := &watcher{stale: make(map[string]bool), ready: make(chan struct{}, 1)}
	first := len(f.watchers) == 0
	f.watchers[w] = true
	for _, p := range parts {
		if first { // nothing was asked while nobody watched
			f.askNow(p.name)
		} else if _, ok := f.known[p.name]; ok {
			w.tell(p.name)
		}
	}
	if first {
		f.known = make(map[string]known)
	}
	return w
}

// askNow has a part asked at once.
func (f *feed) askNow(name string) {
	select {
	case f.wake[name] <- struct{}{}:
	default:
	}
}

// changed has every part asked at once, because an operator has just changed something.
func (f *feed) changed() {
	for _, p := range parts {
		f.askNow(p.name)
	}
}

func (f *feed) leave(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
}

// take returns the parts that a watcher has not taken yet.
func (f *feed) take(w *watcher) map[string]known {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := make(map[string]known, len(w.stale))
	for name := range w.stale {
		taken[name] = f.known[name]
	}
	clear(w.stale)
	return taken
}

// ages tells when each part was last known to be true.
func (f *feed) ages() map[string]*time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]*time.Time, len(f.known))
	for name, k := range f.known {
		all[name] = k.At
	}
	return all
}
