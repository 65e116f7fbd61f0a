package consensus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// founder is one of the instances that begin a cluster together.
type founder struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	Addr string `json:"addr"`
}

// introduction is what an instance says of itself when it is asked.
type introduction struct {
	founder
	// List is a fingerprint of the instances in its settings.
	List string `json:"list"`
	// Begun tells that it has state: it belongs to a cluster, or begins one.
	Begun bool `json:"begun"`
	// Founders are kept in its data directory.
	Founders []founder `json:"founders,omitempty"`
}

// step is what an instance without state does next.
type step int

const (
	stepWait  step = iota
	stepKeep       // write down the founders, for the others to see
	stepBegin      // all have written down the same ones: begin the cluster
	stepJoin       // somebody has state
)

// nextStep decides how an instance without state comes to a cluster, from what
// it says of itself and what all others have answered; missing names those that
// did not answer.
//
// A cluster begins only when every listed instance has no state, and has written
// down the same ids of all of them. One that was emptied meanwhile has another
// id than the others wrote down, so that nobody begins before they have written
// down the new one. As an instance does not change what it wrote down while it
// asks the others, and one that has begun says so for ever, two different lists
// cannot both be complete.
func nextStep(own introduction, others []introduction, missing []string) (next step, founders []founder, why string) {
	for _, o := range others {
		if o.Begun {
			return stepJoin, nil, fmt.Sprintf("%q has state", o.Name)
		}
	}
	if len(missing) > 0 {
		return stepWait, nil, fmt.Sprintf("a new cluster begins when all instances are there; missing: %s", strings.Join(missing, "; "))
	}
	founders = []founder{own.founder}
	for _, o := range others {
		if o.List != own.List {
			return stepWait, nil, fmt.Sprintf("%q has other instances in its settings (raft.peer) than %q", o.Name, own.Name)
		}
		founders = append(founders, o.founder)
	}
	slices.SortFunc(founders, func(a, b founder) int { return cmp.Compare(a.Name, b.Name) })
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

// fingerprint is the same for the same instances, in whatever order.
func fingerprint(all []Peer) string {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	hash := sha256.New()
	for _, p := range all {
		fmt.Fprintf(hash, "%q %q\n", p.Name, p.Addr) // a hash returns no error
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// introduce says what this instance is.
func (n *Node) introduce() introduction {
	known := n.disk.known()
	self := Peer{Name: n.config.Name, Addr: n.transport.AdvertiseAddr()}
	return introduction{
		founder:  founder{Name: self.Name, ID: n.disk.id, Addr: self.Addr},
		List:     fingerprint(append(slices.Clone(n.config.Peers), self)),
		Begun:    known.Bootstrapped,
		Founders: known.Founders,
	}
}

const (
	askAgain   = 200 * time.Millisecond // the others how they are
	askTimeout = 2 * time.Second
)

// found brings an instance without state to a cluster: it begins one together
// with all its peers, or makes ready to join the one that they have.
func (n *Node) found(ctx context.Context) error {
	told := ""
	for {
		others, missing := n.askPeers(ctx)
		next, founders, why := nextStep(n.introduce(), others, missing)
		if why != told {
			n.config.Logger.InfoContext(ctx, "this instance has no state yet", "why", why)
			told = why
		}
		switch next {
		case stepJoin:
			if err := n.disk.beginEmpty(n.stores); err != nil {
				return err
			}
			return n.startLibrary()
		case stepBegin:
			return n.beginCluster(founders)
		case stepKeep:
			if err := n.disk.note(func(id *identity) { id.Founders = founders }); err != nil {
				return err
			}
		case stepWait:
			if !pause(ctx, askAgain) {
				return context.Cause(ctx)
			}
		}
	}
}

func (n *Node) beginCluster(founders []founder) error {
	var members raft.Configuration
	for _, f := range founders {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(f.ID), Address: raft.ServerAddress(f.Addr)})
	}
	if err := n.disk.beginWith(n.settings, n.stores, n.network, members); err != nil {
		return err
	}
	return n.startLibrary()
}

// askPeers asks all peers at once how they are, and names those that did not
// answer.
func (n *Node) askPeers(ctx context.Context) (answers []introduction, missing []string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	all, errs := make([]introduction, len(n.config.Peers)), make([]error, len(n.config.Peers))
	var wg sync.WaitGroup
	for i, p := range n.config.Peers {
		wg.Go(func() { all[i], errs[i] = n.calls.introduce(ctx, p.Addr) })
	}
	wg.Wait()
	for i, p := range n.config.Peers {
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
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
