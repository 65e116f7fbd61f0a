package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"praefect/fsm/state"
)

// longestWrite bounds an RPC of a client that does not vote.
const longestWrite = 8 * time.Second

// recovers tells in which schedules the quorum is lost for good. It draws from nothing: all other
// schedules stay as they are.
func recovers(seed uint64) bool { return seed%16 == 2 || seed%16 == 9 }

// loseQuorum has all instances but one lost for good, and the cluster recovered from that one. It
// may have been cut off from them for a while.
func (w *simulation) loseQuorum() {
	if !recovers(w.seed) || w.setup.instances == 1 {
		return
	}
	w.setup.changes, w.replacing = true, true
	w.setup.disks = false // the knowledge of which storage has the only copy of a write is lost with the entries that say so
	draw := rand.New(rand.NewPCG(w.seed, 17))
	survivor := w.instances[draw.IntN(len(w.instances))]
	lost := slices.DeleteFunc(slices.Clone(w.instances), func(in *instance) bool { return in == survivor })
	at := 2*time.Second + w.setup.span/4 + upTo(draw, w.setup.span/2)
	if draw.IntN(3) > 0 {
		w.at(at-upTo(draw, at-2*time.Second), func() {
			w.tracef("%s is cut off from the other instances", survivor.name)
			for _, in := range lost {
				w.net.setBoth(survivor.node, in.node, true)
			}
			w.check.quorum()
		})
	}
	w.at(at, func() {
		w.tracef("all instances but %s are lost", survivor.name)
		for _, in := range lost {
			w.leave(in)
			w.net.setBoth(survivor.node, in.node, false)
		}
		// A person decides on it.
		w.after(200*time.Millisecond+upTo(draw, 2*time.Second), func() {
			w.recover(survivor)
			for i, in := range lost {
				w.after(upTo(draw, 3*time.Second), func() {
					w.newcomer(in)
					if i == len(lost)-1 {
						w.replacing = false
					}
				})
			}
		})
	})
}

// recover makes a cluster of one from an instance's disk, as praefect raft recover does: its whole
// log counts, committed or not.
func (w *simulation) recover(survivor *instance) {
	w.leave(survivor)
	log := slices.Clone(survivor.disk.log)
	found, lost := w.history.replace(log)
	w.cov.Recoveries++
	w.cov.LostEntries += lost
	index := state.Index(len(log) + 1)
	w.cluster = "recovered"
	recovered := found.Recover(state.Recovery{
		Index: index, ClusterID: w.cluster, Time: w.wall().Milliseconds(), By: "operator", BoundMillis: longestWrite.Milliseconds(),
	})
	if err := recovered.Check(); err != nil {
		w.failf("the recovered state is not sound: %v", err)
	}
	w.tracef("recovery at %d, %d entries are lost", index, lost)
	if several(recovered) {
		w.cov.SeveralKept++
		w.over = true
		return
	}
	w.endCalls(recovered)
	w.check.recovered()
	place := len(w.instances)
	e := entry{term: survivor.disk.term + 1, recovered: recovered, config: &configuration{[]server{{place, true}}}}
	w.newcomerWith(survivor, &durable{term: e.term, member: true, log: append(log, e)})
	w.history.apply(len(log)+1, e)
}

// endCalls ends the calls that the lost instances had under way, and whose intents are lost with them: nothing
// tells of a late effect of theirs, which is a known limit. Where an intent tells it may still come.
func (w *simulation) endCalls(recovered *state.State) {
	for _, s := range w.storages {
		for _, r := range s.calls {
			if e := recovered.Entry(key(r.path)); e == nil || !e.HasDoubt() {
				r.over, r.abandoned = true, true
				r.news.notify()
			}
		}
	}
}

// several tells whether several storages stay as they are after a recovery: then it is a known
// limit that repositories that the ledger does not list are verified in the background only, which
// is not simulated.
func several(s *state.State) bool {
	n := 0
	if vs := s.VirtualStorage(virtualStorage); vs != nil {
		for _, st := range vs.Succession {
			n += btoi(st.State != state.Backfilling && (st.State != state.Out || st.Why != state.WhyDrained))
		}
	}
	return n > 1
}

// recovered notes that entries are lost: the knowledge of acknowledged writes in them has to be
// found out, and indices mean something else.
func (c *check) recovered() {
	c.watermark = 0
	for _, wr := range c.ops[1:] {
		wr.unverified = wr.acked
	}
}

// verified checks that every write which was acknowledged before the quorum was lost is there, unless an
// operator has accepted its loss (P3).
func (c *check) verified() {
	vs := c.w.history.last().VirtualStorage(virtualStorage)
	for _, wr := range c.ops[1:] {
		if !wr.unverified || wr.deletes { // a delete may be undone: the storage with more writes counts as the most advanced
			continue
		}
		if found, ok := c.onDisk(&vs.Succession[0], wr.path); ok && c.lacks(found, wr) {
			c.w.failf("P3: op %d of %s was acknowledged before the quorum was lost, and is lost without a word", wr.op, wr.path)
		}
	}
}
