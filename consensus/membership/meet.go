package membership

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/consensus/store"
)

const (
	// meetTimeout bounds the opening of a connection to a listed peer: how long a peer that does not
	// answer can delay the first lease of this instance.
	meetTimeout = time.Second
	// meetAgain is how often listed peers are asked while one of them is of another cluster, and
	// meetSeldom otherwise: a peer of another cluster asks by itself when it starts.
	meetAgain, meetSeldom = time.Second, 10 * time.Second
)

// meetings are the clusters of the listed peers, as far as this instance knows. Two clusters whose
// instances list each other are one in the operator's mind, and must not both serve.
type meetings struct {
	listed []member.Peer

	mu     sync.Mutex
	asked  bool                          // each listed peer was asked once, guarded by mu
	others map[string]*peer.OtherCluster // by the peer's name, guarded by mu
	told   string                        // the reason that was logged last, guarded by mu
}

func newMeetings(listed []member.Peer) *meetings {
	return &meetings{listed: listed, asked: len(listed) == 0, others: make(map[string]*peer.OtherCluster)}
}

// met notes that a listed peer is of another cluster, or, with nil, that it is not.
// (▲ meet-other-cluster-unnoticed)
func (m *meetings) met(name string, other *peer.OtherCluster) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if other == nil {
		delete(m.others, name)
	} else {
		m.others[name] = other
	}
}

// isOther tells whether a listed peer was found to be of another cluster.
func (m *meetings) isOther(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.others[name] != nil
}

// whyBarred says why this instance may take no lease, "" if it may.
func (m *meetings) whyBarred() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.others) > 0 {
		var all []string
		own := ""
		for _, name := range slices.Sorted(maps.Keys(m.others)) {
			all = append(all, fmt.Sprintf("the listed peer %q is of cluster %s", name, m.others[name].Cluster))
			own = m.others[name].Own
		}
		return fmt.Sprintf("%s, this instance of cluster %s: two clusters must not serve the same storages, so this instance takes no lease; "+
			"decide which cluster stays, and on each instance of the other one stop praefect and run: %s", strings.Join(all, ", "), own, store.RejoinCommand)
	}
	if !m.asked {
		return "this instance has just started and asks its listed peers which cluster they belong to"
	}
	return ""
}

// Barred says why this instance may take no lease even if the leader grants one, "" if it may: a
// listed peer is of another cluster, or was not asked yet.
func (g *Group) Barred() string { return g.meetings.whyBarred() }

// meetsOther hears from the transport of an instance of another cluster. Only listed ones
// matter: any other one has no business with this instance.
func (g *Group) meetsOther(other *peer.OtherCluster) {
	if slices.Contains(g.disk.Known().Replaced, other.Cluster) {
		return
	}
	if slices.ContainsFunc(g.config.Peers, func(p member.Peer) bool { return p.Name == other.Name }) {
		g.meetings.met(other.Name, other)
	}
}

// Meet asks the listed peers which cluster they belong to, at once and again and again.
func Meet(ctx context.Context, g *Group) {
	if g.library.Transport == nil {
		return
	}
	for {
		g.meetOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := meetSeldom
		if g.tellOther(ctx) {
			wait = meetAgain
		}
		if !pause(ctx, wait/2+rand.N(wait/2+1)) {
			return
		}
	}
}

// meetOnce asks each listed peer once. One that does not answer says nothing: its former answer
// stands, unless its port refuses, which proves that its process is gone. A peer is not asked while a
// connection says that it is of this instance's cluster, unless another one has come under its name.
func (g *Group) meetOnce(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range g.config.Peers {
		if g.library.Transport.Connected(p.Name) && !g.meetings.isOther(p.Name) {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, meetTimeout)
			defer cancel()
			_, err := g.library.Transport.Meet(ctx, p.Addr, p.Name)
			if err == nil || errors.Is(err, unix.ECONNREFUSED) {
				g.meetings.met(p.Name, nil)
			}
		})
	}
	all.Wait()
	if ctx.Err() == nil {
		g.meetings.mu.Lock()
		g.meetings.asked = true
		g.meetings.mu.Unlock()
	}
}

// tellOther logs a change of the reason that keeps this instance from serving, and reports whether
// there is one.
func (g *Group) tellOther(ctx context.Context) bool {
	why := g.Barred()
	m := g.meetings
	m.mu.Lock()
	before := m.told
	m.told = why
	m.mu.Unlock()
	switch {
	case why != "" && why != before:
		g.config.Logger.ErrorContext(ctx, "this instance serves nothing", "err", why)
	case why == "" && before != "":
		g.config.Logger.InfoContext(ctx, "no listed peer is of another cluster any more")
	}
	return why != ""
}

// PeerCluster is the answer of a listed peer about its cluster.
type PeerCluster struct {
	Name string
	// Cluster is the peer's cluster if it is not that of the data directory; else it is empty.
	Cluster string
	// Err is why the peer was not reached, or did not say it.
	Err error
}

// AskClusters asks the listed peers which cluster they belong to, for an instance whose data
// directory no process has.
func AskClusters(ctx context.Context, c setup.Config, d store.Directory) ([]PeerCluster, error) {
	if len(c.Peers) == 0 {
		return nil, nil
	}
	t, err := peer.Dialler(peer.Config{
		Name: c.Name, ID: d.ID, Credentials: c.Credentials, Cluster: func() string { return d.ClusterID },
		Admit: func(string, string) bool { return true }, Logger: c.Logger, Dial: c.Fakes.Dial,
	})
	if err != nil {
		return nil, fmt.Errorf("ask the listed peers for their cluster: %w", err)
	}
	answers := make([]PeerCluster, len(c.Peers))
	var all sync.WaitGroup
	for i, p := range c.Peers {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			answers[i] = PeerCluster{Name: p.Name}
			_, err := t.Meet(ctx, p.Addr, p.Name)
			if other, ok := errors.AsType[*peer.OtherCluster](err); ok {
				answers[i].Cluster = other.Cluster
			} else {
				answers[i].Err = err
			}
		})
	}
	all.Wait()
	return answers, t.Close()
}
