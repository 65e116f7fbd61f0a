package membership

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/member"
	"praefect/consensus/store"
)

// introduction is the answer of an instance that is asked to introduce itself.
type introduction struct {
	store.Founder
	// List is a fingerprint of the instances in its settings.
	List string `json:"list"`
	// Begun tells that it has state: it belongs to a cluster, or begins one.
	Begun bool `json:"begun"`
	// Cluster is the id of that cluster, if it is known.
	Cluster string `json:"cluster,omitempty"`
	// Founders are kept in its data directory.
	Founders []store.Founder `json:"founders,omitempty"`
}

// step is the next step of an instance without state.
type step int

const (
	stepWait  step = iota
	stepKeep       // write down the founders, for the others to see
	stepBegin      // all have written down the same ones: begin the cluster
	stepJoin       // another instance has state
)

// clusterOf is the id of the cluster that these founders begin. Each of them can name it, and
// claim virtual storages for it, before there is a log: and begin again under the same one after
// a death in between. The founders' ids are random, so that no other cluster has it.
func clusterOf(founders []store.Founder) string {
	hash := sha256.New()
	for _, f := range founders { // sorted by name, the same at each
		fmt.Fprintf(hash, "%q\n", f.ID) // a hash returns no error
	}
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(hash.Sum(nil)[:16])
}

// clusterToJoin is the cluster of the peers that have state. A peer that does not know it yet
// has nothing to say; why tells of two that are of different clusters.
func clusterToJoin(others []introduction) (cluster, why string) {
	var first introduction
	for _, o := range others {
		switch {
		case !o.Begun || o.Cluster == "" || o.Cluster == first.Cluster:
		case first.Cluster == "":
			first = o
		default:
			return "", fmt.Sprintf("%q is of cluster %s, and %q of cluster %s: this instance joins when the instances of one of them have joined the other; "+
				"on those stop praefect and run: %s", first.Name, first.Cluster, o.Name, o.Cluster, store.RejoinCommand)
		}
	}
	return first.Cluster, ""
}

// nextStep decides how an instance without state comes to a cluster, from its own introduction and
// the answers of all others; missing names the ones that did not answer.
//
// A cluster begins only when every listed instance has no state, and has written
// down the same ids of all of them. One that was emptied meanwhile has another
// id than the others wrote down, so that no instance begins before they have written down the new
// one. Two different lists cannot both be complete, because an instance does not change its list
// while it asks the others, and one that has begun says so permanently.
func nextStep(own introduction, others []introduction, missing []string) (next step, founders []store.Founder, why string) {
	for _, o := range others {
		if !o.Begun {
			continue
		}
		if _, why := clusterToJoin(others); why != "" {
			return stepWait, nil, why
		}
		return stepJoin, nil, fmt.Sprintf("%q has state", o.Name)
	}
	if len(missing) > 0 {
		return stepWait, nil, fmt.Sprintf("a new cluster begins when all instances are there; missing: %s", strings.Join(missing, "; "))
	}
	founders = []store.Founder{own.Founder}
	for _, o := range others {
		if o.List != own.List {
			return stepWait, nil, fmt.Sprintf("%q has other instances in its settings (raft.peer) than %q", o.Name, own.Name)
		}
		founders = append(founders, o.Founder)
	}
	slices.SortFunc(founders, func(a, b store.Founder) int { return cmp.Compare(a.Name, b.Name) })
	if !slices.Equal(own.Founders, founders) {
		return stepKeep, founders, ""
	}
	for _, o := range others {
		if !slices.Equal(o.Founders, founders) {
			return stepWait, nil, fmt.Sprintf("%q has not written down the same instances yet", o.Name)
		}
	}
	return stepBegin, founders, ""
}

// fingerprint is the same for the same instances, in any order.
func fingerprint(all []member.Peer) string {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b member.Peer) int { return cmp.Compare(a.Name, b.Name) })
	hash := sha256.New()
	for _, p := range all {
		fmt.Fprintf(hash, "%q %q\n", p.Name, p.Addr) // a hash returns no error
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// introduce makes the introduction of this instance.
func (g *Group) introduce() introduction {
	known := g.disk.Known()
	self := member.Peer{Name: g.config.Name, Addr: g.library.Transport.AdvertiseAddr()}
	return introduction{
		Founder:  store.Founder{Name: self.Name, ID: g.disk.ID, Addr: self.Addr},
		List:     fingerprint(append(slices.Clone(g.config.Peers), self)),
		Begun:    known.Bootstrapped,
		Cluster:  known.ClusterID,
		Founders: known.Founders,
	}
}

const (
	askAgain   = 200 * time.Millisecond // the others how they are
	askTimeout = 2 * time.Second
)

// Begin brings an instance without state to a cluster: it begins one together
// with all its peers, or makes ready to join the one that they have.
func Begin(ctx context.Context, g *Group) error {
	if len(g.config.Peers) == 0 {
		return g.beginAlone(ctx)
	}
	permitted := "" // the cluster that may begin
	for {
		others, missing := g.askPeers(ctx)
		next, founders, why := nextStep(g.introduce(), others, missing)
		g.waitsFor(ctx, why)
		switch cluster := clusterOf(founders); next {
		case stepJoin:
			return g.joinEmpty(others)
		case stepBegin:
			if permitted == cluster {
				return g.beginCluster(founders)
			}
			// Asking for permission takes time: whether all are still there is looked at again after it.
			permission, err := g.mayBegin(ctx, cluster)
			if err != nil {
				return err
			}
			if permission {
				permitted = cluster
				continue
			}
		case stepKeep:
			if err := g.disk.Note(func(id *store.Identity) { id.Founders = founders }); err != nil {
				return err
			}
			continue
		}
		if !pause(ctx, askAgain) {
			return context.Cause(ctx)
		}
	}
}

// beginAlone begins a cluster of one.
func (g *Group) beginAlone(ctx context.Context) error {
	self := []store.Founder{{Name: g.config.Name, ID: g.disk.ID, Addr: g.library.LocalAddr()}}
	for {
		permission, err := g.mayBegin(ctx, clusterOf(self))
		switch {
		case err != nil:
			return err
		case permission:
			return g.beginCluster(self)
		case !pause(ctx, askAgain):
			return context.Cause(ctx)
		}
	}
}

// joinEmpty makes ready to join the cluster of the others. Its id is noted before, so that no
// instance of another cluster can let this one in.
func (g *Group) joinEmpty(others []introduction) error {
	cluster, _ := clusterToJoin(others)
	if err := g.disk.Note(func(id *store.Identity) { id.ClusterID = cluster }); err != nil {
		return err
	}
	return g.library.BeginEmpty()
}

// mayBegin asks whether this instance may begin the cluster now. An error means that it never
// may, and ends it.
func (g *Group) mayBegin(ctx context.Context, cluster string) (bool, error) {
	if g.config.MayBegin == nil {
		return true, nil
	}
	why, err := g.config.MayBegin(ctx, cluster)
	if err != nil {
		return false, fmt.Errorf("begin cluster %s: %w", cluster, err)
	}
	g.waitsFor(ctx, why)
	return why == "", nil
}

// waitsFor notes why this instance has not come to a cluster yet, and logs it when it is news.
func (g *Group) waitsFor(ctx context.Context, why string) {
	if before := g.waiting.Swap(&why); why != "" && (before == nil || *before != why) {
		g.config.Logger.InfoContext(ctx, "this instance has no state yet", "why", why)
	}
}

// Waiting says why this instance has not come to a cluster yet, "" if it has, or if there is
// nothing to say.
func (g *Group) Waiting() string {
	if why := g.waiting.Load(); why != nil && g.library.Raft() == nil {
		return *why
	}
	return ""
}

func (g *Group) beginCluster(founders []store.Founder) error {
	var members raft.Configuration
	for _, f := range founders {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(f.ID), Address: raft.ServerAddress(f.Addr)})
	}
	if err := g.disk.Note(func(id *store.Identity) { id.ClusterID = clusterOf(founders) }); err != nil {
		return err
	}
	return g.library.BeginWith(members)
}

// askPeers asks all peers at once how they are, and names the ones that did not answer.
func (g *Group) askPeers(ctx context.Context) (answers []introduction, missing []string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	all, errs := make([]introduction, len(g.config.Peers)), make([]error, len(g.config.Peers))
	var wg sync.WaitGroup
	for i, p := range g.config.Peers {
		wg.Go(func() { all[i], errs[i] = callIntroduce.CallTo(ctx, g.library.Clients, p.Addr, nothing{}) })
	}
	wg.Wait()
	for i, p := range g.config.Peers {
		if errs[i] == nil && all[i].Name != p.Name {
			errs[i] = fmt.Errorf("%s is the address of %q", p.Addr, all[i].Name)
		}
		if errs[i] != nil {
			missing = append(missing, fmt.Sprintf("%s (%v)", p.Name, errs[i]))
			continue
		}
		answers = append(answers, all[i])
	}
	return answers, missing
}

// pause waits; it reports false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
