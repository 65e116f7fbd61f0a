package proxy

import (
	"maps"
	"slices"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/stream"
)

const (
	// failsFor is the default of Config.FailsFor.
	failsFor = 30 * time.Second
	// failsLeast is how many writes in a row must have failed at a primary, however long
	// that took.
	failsLeast = 3
	// failsKept bounds the memory of repositories whose primaries fail. For one beyond it
	// another is forgotten.
	failsKept = 4096
	// failsShown is for how long a repository counts as one whose primary fails after its
	// last failure, if no write succeeds there.
	failsShown = 10 * time.Minute
)

// failing remembers the repositories of which the primary fails writes that another
// storage could do: that one voted, and the primary's call ended without a vote.
type failing struct {
	mu   sync.Mutex
	list map[state.Key]failures // guarded by mu
}

// failures are the writes that failed at one primary.
type failures struct {
	primary string
	since   time.Time // of the first one in a row
	last    time.Time
	n       int // in a row, since the proxy told of them
	all     int // likewise, since the primary was listed
}

// failed counts a write that failed, and reports whether there were enough for long
// enough. Then it begins to count again.
func (f *failing) failed(key state.Key, primary string, now time.Time, bound time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, known := f.list[key]
	switch {
	case was.primary != primary:
		was = failures{primary: primary, since: now}
	case was.n == 0:
		was.since = now
	}
	was.n++
	was.all++
	was.last = now
	enough := was.n >= failsLeast && now.Sub(was.since) >= bound
	if enough {
		was.n = 0
	}
	if f.list == nil {
		f.list = make(map[state.Key]failures)
	}
	if !known && len(f.list) >= failsKept {
		for other := range f.list {
			delete(f.list, other)
			break
		}
	}
	f.list[key] = was
	return enough
}

// worked says that a primary has done a write. Another one may still be unable to.
func (f *failing) worked(key state.Key, primary string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, known := f.list[key]
	switch {
	case !known:
	case was.primary == primary:
		delete(f.list, key)
	default:
		was.n = 0
		f.list[key] = was
	}
}

// count tells of how many repositories each storage fails the writes, by virtual storage
// and storage. One that has failed but a few does not count. Repositories without a recent failure
// are forgotten.
func (f *failing) count(now time.Time) map[[2]string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	repositories, writes := make(map[[2]string]int), make(map[[2]string]int)
	for key, was := range f.list {
		if now.Sub(was.last) >= failsShown {
			delete(f.list, key)
			continue
		}
		storage := [2]string{key.VirtualStorage, was.primary}
		repositories[storage]++
		writes[storage] += was.all
	}
	maps.DeleteFunc(repositories, func(storage [2]string, _ int) bool { return writes[storage] < failsLeast })
	return repositories
}

// report notes how a write that is voted on went at the primary.
func (s *Server) report(r *request, primary string, o stream.Outcome, succeeded, others bool) {
	key := r.keys[0]
	switch {
	case others && ofReplica(r, o):
		s.metrics.unwritten.WithLabelValues(key.VirtualStorage, primary).Inc()
		if !s.failing.failed(key, primary, time.Now(), s.cfg.FailsFor) {
			return
		}
		text := "git could not change the reference"
		if o.Err != nil {
			text = o.Err.Error()
		}
		s.log.Warn("the primary of a repository fails writes that other storages could do", "virtual_storage", key.VirtualStorage,
			"relative_path", key.RelativePath, "primary", primary, "method", r.method.FullName, "err", cutText(text))
		s.fails(key, primary, cutText(text))
	case succeeded:
		s.failing.worked(key, primary)
	}
}

// ofReplica tells whether a call that ended at the primary, while other storages could do
// it, ended so because of the primary's replica. An end for which a client, a hook, a token or a
// limit is the reason says nothing of it: a hook runs at the primary alone.
func ofReplica(r *request, o stream.Outcome) bool {
	if !o.Ended || r.ctx.Err() != nil {
		return false
	}
	switch status.Code(o.Err) {
	case codes.OK: // git tells the client itself which reference it could not change
		return r.method.FullName == gitalypb.SSHService_SSHReceivePack_FullMethodName || r.method.FullName == gitalypb.SmartHTTPService_PostReceivePack_FullMethodName
	case codes.ResourceExhausted: // a full disk, or a limit of the storage
		return !limited(o.Err)
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Unauthenticated,
		codes.PermissionDenied, codes.InvalidArgument:
		return false
	}
	return true
}

// limited tells whether a storage refused a call because it has too many.
func limited(err error) bool {
	return slices.ContainsFunc(status.Convert(err).Details(), func(detail any) bool {
		_, ok := detail.(*gitalypb.LimitError)
		return ok
	})
}
