package membership

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/member"
)

const (
	// maxLag is how many entries a non-voter may lack, and steadyFor how long
	// it must have lacked no more, to become a voter.
	maxLag    = 256
	steadyFor = 2 * time.Second
)

// lead does a leader's part of one round.
func (w *membershipWatch) lead(ctx context.Context, own *raft.Server) (why string) {
	g := w.group
	w.heard = time.Now()
	if own == nil {
		return "the leader is no member"
	}
	if addr := g.library.Transport.AdvertiseAddr(); string(own.Address) != addr {
		// It stood alone until now, or has moved.
		if err := g.addVoter(ctx, own.ID, raft.ServerAddress(addr), 0); err != nil {
			return fmt.Sprintf("take the address %s: %v", addr, err)
		}
	}
	members := g.Members()
	steady := w.steady(ctx, members)
	for _, id := range promotable(members, steady) {
		m := members[slices.IndexFunc(members, func(m member.Member) bool { return m.ID == id })]
		if err := g.addVoter(ctx, raft.ServerID(id), raft.ServerAddress(m.Address), 0); err != nil {
			return fmt.Sprintf("make %s a voter: %v", m, err)
		}
		g.config.Logger.InfoContext(ctx, "an instance has become a voter", "peer", m.Name, "id", id)
	}
	if time.Since(w.compared) >= compareEvery {
		w.differ, w.compared = differingProfile(g.config.Profile, g.PeersStatus(ctx)), time.Now()
	}
	return w.differ
}

// compareEvery is how often the leader compares the settings that must be equal.
const compareEvery = 30 * time.Second

// differingProfile names an instance with other times than the leader's: the
// slowest one governs how long the others take to miss it, the fastest one
// elects without need.
func differingProfile(own member.Profile, all []member.InstanceStatus) string {
	for _, s := range all {
		if s.Err == "" && !s.NotMember && s.Profile != own {
			return fmt.Sprintf("raft.profile of %q is %q, and %q at the leader: make it the same everywhere", s.Name, s.Profile, own)
		}
	}
	return ""
}

// promotable returns the steady non-voters that become voters now: as many as make the number of
// voters odd. An even number survives no more failures than one less, and stops where that would go
// on.
func promotable(members []member.Member, steady []string) []string {
	voters := 0
	for _, m := range members {
		if m.Voter {
			voters++
		}
	}
	needed := 1 + voters%2
	if len(steady) < needed {
		return nil
	}
	return steady[:needed]
}

// steady returns the non-voters that have been up to date for a while.
func (w *membershipWatch) steady(ctx context.Context, members []member.Member) []string {
	g := w.group
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	upTo := g.library.CommitIndex()
	ready := make([]bool, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		if m.Voter {
			continue
		}
		wg.Go(func() {
			s, err := callStatus.CallTo(ctx, g.library.Clients, m.Address, nothing{})
			ready[i] = err == nil && s.ID == m.ID && s.AppliedIndex+maxLag >= upTo
		})
	}
	wg.Wait()
	var steady []string
	since := make(map[string]time.Time)
	for i, m := range members {
		if !ready[i] {
			continue
		}
		begun, ok := w.caughtUp[m.ID]
		if !ok {
			begun = time.Now()
		}
		since[m.ID] = begun
		if time.Since(begun) >= steadyFor {
			steady = append(steady, m.ID)
		}
	}
	w.caughtUp = since
	return steady
}
