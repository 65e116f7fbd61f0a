package peer

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// beats paces the heartbeats that the library sends to followers while it leads.
//
// The library sends one every tenth to fifth of raft.Config.HeartbeatTimeout, and each costs both
// ends several wake-ups. A third of them keeps every follower as well: a follower waits for the
// whole timeout at least. Those of all followers go out together, which is one wake-up for all. A
// heartbeat is only delayed, never answered here, so that what the library knows of a follower is
// what the follower has said.
type beats struct {
	every time.Duration
	born  time.Time

	mu   sync.Mutex
	last map[raft.ServerID]beat // guarded by mu
}

// beat is the last heartbeat to a follower, which went out in the term.
type beat struct {
	term uint64
	at   time.Time
}

func newBeats(every time.Duration) *beats {
	return &beats{every: every, born: time.Now(), last: make(map[raft.ServerID]beat)}
}

// isHeartbeat tells what the library itself takes for a heartbeat at the other end.
func isHeartbeat(args *raft.AppendEntriesRequest) bool {
	return args.Term != 0 && args.PrevLogEntry == 0 && args.PrevLogTerm == 0 && len(args.Entries) == 0 && args.LeaderCommitIndex == 0
}

// wait returns when a heartbeat in the term is due, within every. The first one of a term, and one
// that is late, is due at once.
func (b *beats) wait(id raft.ServerID, term uint64) {
	if pause := b.next(id, term, time.Now()); pause > 0 {
		time.Sleep(pause)
	}
}

// next is after which time the next heartbeat goes out, and counts it.
func (b *beats) next(id raft.ServerID, term uint64, now time.Time) (pause time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := b.last[id]; last.term == term && now.Sub(last.at) < b.every {
		pause = b.every - now.Sub(b.born)%b.every // the next beat of all
	}
	b.last[id] = beat{term: term, at: now.Add(pause)}
	return pause
}
