package library

import (
	"context"
	"sync"
	"time"

	"praefect/consensus/peer"
)

// SetHeartbeatTimeout sets for how long the library waits for a heartbeat before it calls an election. The
// profile's time, which 0 stands for, is the least.
//
// The library of a follower that waits longer is told by Doubt that its leader may be gone.
func (l *Library) SetHeartbeatTimeout(d time.Duration) {
	r := l.Raft()
	if r == nil {
		return
	}
	now := r.ReloadableConfig()
	timeout := max(d, l.settings.HeartbeatTimeout)
	if now.HeartbeatTimeout == timeout {
		return
	}
	now.HeartbeatTimeout, now.ElectionTimeout = timeout, timeout
	if err := r.ReloadConfig(now); err != nil { // by its checks of the figures only
		l.config.Logger.Error("the time that the Raft library waits for a leader cannot be set", "timeout", timeout, "err", err)
	}
}

const (
	// affirmTimeout is the timeout of a leader that affirms itself: by itself it then makes a
	// heartbeat every 300 to 600 ms.
	affirmTimeout = 3 * time.Second
	// affirmParts is how many heartbeats to all followers fit into raft.Config.LeaderLeaseTimeout,
	// after which the library gives up leading. It looks once in that time, at the same moment
	// as every second of them is made, so that one wake-up does for all.
	affirmParts = 2
)

// affirming is the leader's clock of rare heartbeats; it is nil while they are as usual.
type affirming struct {
	mu    sync.Mutex
	timer *time.Timer // guarded by mu
}

// Affirm has the library make heartbeats to all followers at one moment, as few as keep it leading, or
// by itself as usual. Which of them are sent the transport decides (SetPace).
func (l *Library) Affirm(rarely bool) {
	l.affirms.mu.Lock()
	defer l.affirms.mu.Unlock()
	if rarely == (l.affirms.timer != nil) {
		return
	}
	if !rarely {
		l.affirms.timer.Stop()
		l.affirms.timer = nil
		l.SetHeartbeatTimeout(0) // it makes heartbeats at once
		return
	}
	every := l.settings.LeaderLeaseTimeout / affirmParts
	l.SetHeartbeatTimeout(affirmTimeout)
	l.affirms.timer = time.AfterFunc(0, func() {
		_ = l.Raft().VerifyLeader() // asks every follower; its answer authorises nothing, and is not waited for
		l.affirms.mu.Lock()
		defer l.affirms.mu.Unlock()
		if l.affirms.timer != nil {
			l.affirms.timer.Reset(every)
		}
	})
}

// doubtApart is the time between two instances that begin to doubt the same leader. An instance is
// elected only by one that has already given up the leader, and two that call an election at the
// same moment both lose it.
const doubtApart = 40 * time.Millisecond

// Doubt ends the longer wait after the connection to the leader has: an election begins once the leader
// was not heard for the profile's time, if it is not heard meanwhile. It takes that time at most,
// and ends with ctx or when ended is closed. Instances that doubt the same leader have different turns.
func (l *Library) Doubt(ctx context.Context, turn int, ended <-chan struct{}) {
	defer l.SetHeartbeatTimeout(0)
	r := l.Raft()
	if r == nil {
		return
	}
	since := min(time.Since(r.LastContact()), l.settings.HeartbeatTimeout)
	late := time.NewTimer(l.settings.HeartbeatTimeout - since + time.Duration(turn)*doubtApart)
	defer late.Stop()
	select {
	case <-late.C:
	case <-ended:
	case <-ctx.Done():
	}
}

// HeardLeader counts a message of the leader of that term as a heartbeat.
func (l *Library) HeardLeader(term uint64) {
	if network, ok := l.network.(*peer.RaftTransport); ok && l.Raft() != nil {
		network.HeardLeader(term)
	}
}

// SetPace sets the time between two heartbeats to a follower while this instance leads in the term,
// 0 for the usual one. The follower must wait for longer than that.
func (l *Library) SetPace(id string, term uint64, every time.Duration) {
	if network, ok := l.network.(*peer.RaftTransport); ok {
		network.SetPace(id, term, every)
	}
}
