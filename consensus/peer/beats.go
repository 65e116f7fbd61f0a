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
// whole timeout at least. Those of all followers go out together, which is one wake-up for all.
//
// A follower that waits longer than usual gets them as seldom as it was agreed with it (pace). The
// ones between are answered here, as the follower has answered the last one: without an answer every
// raft.Config.LeaderLeaseTimeout the library would give up leading. It then gives up later, by the
// pace at most, when the followers are cut off. Nothing depends on that: leases need new answers of
// a majority, over another connection.
type beats struct {
	every time.Duration
	born  time.Time

	mu    sync.Mutex
	last  map[raft.ServerID]beat // guarded by mu
	paces map[raft.ServerID]pace // guarded by mu
}

// beat is the last heartbeat to a follower, which went out in the term, and its answer, nil without
// success.
type beat struct {
	term   uint64
	at     time.Time
	answer *raft.AppendEntriesResponse
}

// pace is the time between two heartbeats to a follower in a term.
type pace struct {
	term  uint64
	every time.Duration
}

func newBeats(every time.Duration) *beats {
	return &beats{every: every, born: time.Now(), last: make(map[raft.ServerID]beat), paces: make(map[raft.ServerID]pace)}
}

// setPace sets the time between two heartbeats to a follower in a term, 0 for the usual one.
func (b *beats) setPace(id raft.ServerID, term uint64, every time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paces[id] = pace{term, every}
}

// vouched is the answer for a heartbeat in the term that need not be sent, nil if it must be.
func (b *beats) vouched(id raft.ServerID, term uint64, now time.Time) *raft.AppendEntriesResponse {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, agreed := b.last[id], b.paces[id]
	if last.term != term || agreed.term != term || now.Sub(last.at) >= agreed.every {
		return nil
	}
	return last.answer
}

// answered notes how a heartbeat went.
func (b *beats) answered(id raft.ServerID, term uint64, answer *raft.AppendEntriesResponse, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.last[id]
	if last.term != term {
		return
	}
	last.answer = nil
	if err == nil && answer.Success {
		kept := *answer
		last.answer = &kept
	}
	b.last[id] = last
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
	b.last[id] = beat{term: term, at: now.Add(pause)} // without an answer none is made up
	return pause
}
