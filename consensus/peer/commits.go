package peer

import (
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// commits is the latest commit that this instance knows of.
type commits struct{ latest atomic.Pointer[commit] }

// commit says that the log was committed up to index, and that term was this instance's
// current term at a later moment.
type commit struct {
	index, term uint64
	replaced    chan struct{} // closed when there is a newer one
}

func newCommits() *commits {
	c := &commits{}
	c.latest.Store(&commit{replaced: make(chan struct{})})
	return c
}

func (c *commits) set(index, term uint64) {
	old := c.latest.Swap(&commit{index: index, term: term, replaced: make(chan struct{})})
	close(old.replaced)
}

// after returns the request that tells a follower of a commit, given the last request on
// the same pipeline, or nil if it would tell the follower nothing.
//
// The message is one that the library itself could send. Two rules keep it true:
//
//   - ▲ peer-commit-of-another-term: The commit counts only if the term of the request was still
//     this instance's current term after the commit was known. Otherwise this instance may follow
//     another leader by now, whose entries have replaced its own up to that index.
//   - ▲ peer-commit-not-sent: The commit ends at the last entry that the pipeline has sent. The
//     follower's log equals the leader's only up to there, and the library's follower commits up to
//     the end of its own log.
func (c *commit) after(last *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	if last == nil || c.term != last.Term {
		return nil
	}
	sent, sentTerm := last.PrevLogEntry, last.PrevLogTerm
	if n := len(last.Entries); n > 0 {
		sent, sentTerm = last.Entries[n-1].Index, last.Entries[n-1].Term
	}
	index := min(c.index, sent)
	if index <= last.LeaderCommitIndex {
		return nil
	}
	next := *last // of the same leader in the same term
	next.Entries, next.PrevLogEntry, next.PrevLogTerm, next.LeaderCommitIndex = nil, sent, sentTerm, index
	return &next
}
