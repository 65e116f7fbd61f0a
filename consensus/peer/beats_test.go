package peer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// The first heartbeat of a term goes out at once, and so does one that is late; the others of all
// followers go out together, once in each interval.
func TestBeats_pacesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 60 * time.Millisecond
		began := time.Now()
		b := newBeats(every)
		sent := func(id raft.ServerID, term uint64) time.Duration {
			b.wait(id, term)
			return time.Since(began)
		}
		time.Sleep(7 * time.Millisecond)
		for _, id := range []raft.ServerID{"a", "b"} {
			if at := sent(id, 1); at != 7*time.Millisecond {
				t.Errorf("the first one to %s went out after %v", id, at)
			}
		}
		for n := range 20 {
			due := time.Duration(n+1) * every
			times := make(chan time.Duration)
			for i, id := range []raft.ServerID{"a", "b"} {
				go func() {
					time.Sleep(time.Duration(20+15*i) * time.Millisecond)
					times <- sent(id, 1)
				}()
			}
			for range 2 {
				if at := <-times; at != due {
					t.Errorf("beat %d went out after %v, want %v", n, at, due)
				}
			}
		}
		if before := time.Since(began); sent("a", 2) != before {
			t.Error("the first one of another term waits")
		}
		time.Sleep(every)
		if before := time.Since(began); sent("b", 1) != before {
			t.Error("one that is late waits")
		}
	})
}

// Nothing but heartbeats waits: entries and the news of a commit never do.
func TestIsHeartbeat(t *testing.T) {
	for name, row := range map[string]struct {
		args raft.AppendEntriesRequest
		want bool
	}{
		"a heartbeat":                 {raft.AppendEntriesRequest{Term: 3}, true},
		"entries":                     {raft.AppendEntriesRequest{Term: 3, Entries: []*raft.Log{{Index: 1}}}, false},
		"a commit":                    {raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2, LeaderCommitIndex: 7}, false},
		"a look for where logs agree": {raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2}, false},
	} {
		if got := isHeartbeat(&row.args); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A heartbeat is answered without the follower only within the pace that was agreed for the term, and
// only as the follower answered the last one, if it did.
func TestBeats_vouchesWithinThePace(t *testing.T) {
	const every, pace, term = 60 * time.Millisecond, time.Second, 3
	answer := &raft.AppendEntriesResponse{Term: term, Success: true, LastLog: 7}
	for name, row := range map[string]struct {
		pacedTerm uint64
		pace      time.Duration
		answer    *raft.AppendEntriesResponse
		err       error
		after     time.Duration
		term      uint64
		want      bool
	}{
		"within the pace":        {term, pace, answer, nil, pace - 1, term, true},
		"due":                    {term, pace, answer, nil, pace, term, false},
		"no pace":                {term, 0, answer, nil, 1, term, false},
		"a pace of another term": {term - 1, pace, answer, nil, 1, term, false},
		"a beat of another term": {term, pace, answer, nil, 1, term + 1, false},
		"refused":                {term, pace, &raft.AppendEntriesResponse{Term: term + 1}, nil, 1, term, false},
		"failed":                 {term, pace, answer, errClosed, 1, term, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, now := newBeats(every), time.Now()
			b.setPace("a", row.pacedTerm, row.pace)
			b.next("a", term, now)
			if b.vouched("a", term, now) != nil {
				t.Error("an answer before there was one")
			}
			b.answered("a", term, row.answer, row.err)
			got := b.vouched("a", row.term, now.Add(row.after))
			if (got != nil) != row.want || got != nil && (got.LastLog != answer.LastLog || !got.Success) {
				t.Errorf("got %+v, want one: %v", got, row.want)
			}
			if b.vouched("b", row.term, now) != nil {
				t.Error("an answer of another follower")
			}
		})
	}
}
