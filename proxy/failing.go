package proxy

import (
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
)

// failing remembers the repositories of which the primary fails writes that another
// storage could do: that one voted, and the primary's call ended without a vote.
type failing struct {
	mu   sync.Mutex
	list map[state.Key]failures // guarded by mu
}

// failures are the writes in a row that failed at one primary.
type failures struct {
	primary string
	since   time.Time
	n       int
}

// failed counts a write that failed, and reports whether there were enough for long
// enough. Then it begins to count again.
func (f *failing) failed(key state.Key, primary string, now time.Time, bound time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, known := f.list[key]
	if !known || was.primary != primary {
		was = failures{primary: primary, since: now}
	}
	was.n++
	if was.n >= failsLeast && now.Sub(was.since) >= bound {
		delete(f.list, key)
		return true
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
	return false
}

// worked says that the primary has done a write.
func (f *failing) worked(key state.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.list, key)
}

// report notes how a write that is voted on went at the primary.
func (s *Server) report(r *request, primary string, o stream.Outcome, succeeded, others bool) {
	key := r.keys[0]
	switch {
	case succeeded:
		s.failing.worked(key)
	case others && ofReplica(r, o) && s.failing.failed(key, primary, time.Now(), s.cfg.FailsFor):
		text := "git could not change the reference"
		if o.Err != nil {
			text = o.Err.Error()
		}
		s.log.Warn("the primary of a repository fails writes that other storages could do", "virtual_storage", key.VirtualStorage,
			"relative_path", key.RelativePath, "primary", primary, "method", r.method.FullName, "err", cutText(text))
		s.fails(key, primary, cutText(text))
	}
}

// ofReplica tells whether a call that ended at the primary, while other storages could do
// it, ended so because of the primary's replica. What clients, tokens and limits are the
// reason for says nothing of it.
func ofReplica(r *request, o stream.Outcome) bool {
	if !o.Ended || r.ctx.Err() != nil {
		return false
	}
	switch status.Code(o.Err) {
	case codes.OK: // git tells the client itself which reference it could not change
		return r.method.FullName == gitalypb.SSHService_SSHReceivePack_FullMethodName || r.method.FullName == gitalypb.SmartHTTPService_PostReceivePack_FullMethodName
	case codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Unavailable, codes.Unauthenticated,
		codes.PermissionDenied, codes.InvalidArgument:
		return false
	}
	return true
}
