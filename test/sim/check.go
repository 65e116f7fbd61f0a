package sim

import (
	"slices"
	"time"

	"praefect/fsm/state"
)

// check holds the true course of events, and compares it with the promises.
type check struct {
	w     *simulation
	ops   []*write // by op; 0 is none
	repos map[string]*repository
	// primaries has the primary of each epoch (P1).
	primaries map[uint64]string
	// watermark is the highest that any leader has told.
	watermark state.Index
	// quorumLost is since when no majority of the instances could agree (P7);
	// negative while one can.
	quorumLost time.Duration
	// tampered are the replicas that were changed past the instances, and not made equal since.
	tampered map[replicaKey]bool
}

// write is one write of a client, as it really went.
type write struct {
	op      op
	path    string
	deletes bool
	by      *instance
	// effects are where it happened, and when first.
	at      *storage
	effect  time.Duration
	acked   bool
	ackedAt time.Duration
	// removed tells that a delete came upon it, removedBy which one.
	removed   bool
	removedBy *write
	// lost tells that an operator accepted its loss.
	lost bool
	// unverified tells that the quorum was lost after its acknowledgement: which storages have it
	// is not known until all replicas were compared.
	unverified bool
	// found tells that a storage came with it.
	found bool
}

// repository has the acknowledged writes of one repository, in the order of acknowledgement.
type repository struct {
	path  string
	acked []*write
}

func newCheck(w *simulation) *check {
	c := &check{w: w, ops: []*write{nil}, repos: make(map[string]*repository), primaries: make(map[uint64]string), quorumLost: -1, tampered: make(map[replicaKey]bool)}
	for _, path := range w.paths {
		c.repos[path] = &repository{path: path}
	}
	return c
}

// begin numbers one more effect that a request is to have.
func (c *check) begin(r *request, in *instance) {
	wr := &write{op: op(len(c.ops)), path: r.path, deletes: r.deletes, by: in}
	c.ops = append(c.ops, wr)
	r.ops = append(r.ops, wr.op)
}

// effect notes that a replica has changed.
func (c *check) effect(s *storage, cl *call, ops []op) {
	c.w.tracef("%s: %s of %s (op %d) has its effect", s.name, cl.verb, cl.path, ops)
	for _, o := range ops {
		if wr := c.ops[o]; wr.at == nil && (cl.tx == nil || cl.tx.leads == s.name) {
			wr.at, wr.effect = s, c.w.now
		}
	}
	if cl.tx != nil {
		c.voted(s, cl.tx)
	}
	c.replicas(cl.path)
}

// deleted notes the writes that a client's delete has removed.
func (c *check) deleted(before *content, by op) {
	if before == nil {
		return
	}
	for _, o := range before.ops {
		if wr := c.ops[o]; !wr.removed {
			wr.removed, wr.removedBy = true, c.ops[by]
		}
	}
}

// ack notes that a client was told of the success of a write, which was decided
// upon a moment before. If it votes, the hook has said so already.
func (c *check) ack(r *request, decided time.Duration) {
	c.w.cov.Acks++
	if c.w.postgres.away {
		c.w.cov.AcksWithoutPostgres++
	}
	for _, o := range r.ops {
		if wr := c.ops[o]; !wr.acked {
			c.acknowledged(wr, decided)
		}
	}
	c.readable(r.path)
}

// acknowledged notes that a client may rely on an effect.
func (c *check) acknowledged(wr *write, decided time.Duration) {
	w := c.w
	wr.acked, wr.ackedAt = true, decided
	if wr.at == nil && !wr.deletes {
		w.failf("P3: op %d of %s is acknowledged and happened nowhere", wr.op, wr.path)
		return
	}
	repo := c.repos[wr.path]
	for _, other := range repo.acked {
		if wr.at != nil && other.at != nil && other.at != wr.at && other.effect < wr.ackedAt && wr.effect < other.ackedAt {
			w.failf("P2: op %d on %s and op %d on %s are acknowledged at one time for %s",
				wr.op, wr.at.name, other.op, other.at.name, wr.path)
		}
		// A successor has had an effect: nothing of the former primary counts.
		if wr.at != nil && other.at != nil && other.at != wr.at && other.effect > wr.effect && other.effect < decided {
			w.failf("P2: op %d of %s is acknowledged for %s, after op %d on %s", wr.op, wr.path, wr.at.name, other.op, other.at.name)
		}
	}
	repo.acked = append(repo.acked, wr)
	if c.quorumLost >= 0 && decided-c.quorumLost > w.setup.lease {
		w.failf("P7: op %d of %s is acknowledged %v after the quorum was lost", wr.op, wr.path, decided-c.quorumLost)
	}
	c.replicas(wr.path)
}

// must reports whether a content has its obligatory writes: every one of the writes
// which no delete may have removed, and nothing that an acknowledged one has.
func (c *check) must(found *content, acked []*write) *write {
	for _, wr := range acked {
		if !wr.unverified && c.lacks(found, wr) {
			return wr
		}
	}
	return nil
}

// lacks tells whether a content is without a write that it must have.
func (c *check) lacks(found *content, wr *write) bool {
	switch {
	case wr.lost:
		return false
	case wr.deletes:
		return found != nil && slices.ContainsFunc(found.ops, func(o op) bool { return c.ops[o].removedBy == wr })
	}
	return !wr.removed && !found.has(wr.op)
}

// onDisk is the replica that the agreed state speaks of; false if the storage
// has another disk by now.
func (c *check) onDisk(s *state.Storage, path string) (*content, bool) {
	st := c.w.storage(s.Name)
	if st.disk.id != s.FilesystemID {
		return nil, false
	}
	return st.disk.repos[path], true
}

// replicas checks P3 and P5 for one repository against the newest agreed state.
func (c *check) replicas(path string) {
	s := c.w.history.last()
	vs := s.VirtualStorage(virtualStorage)
	if vs == nil {
		return
	}
	entry := s.Entry(key(path))
	marked := entry != nil && (len(entry.Intents) > 0 || entry.Advancing != "")
	var first *content
	var firstName string
	compared, differ := 0, false
	for i := range vs.Succession {
		st := &vs.Succession[i]
		if st.State == state.Backfilling || entry.IsBehind(st.Name) {
			continue
		}
		found, ok := c.onDisk(st, path)
		if !ok {
			continue
		}
		if lacks := c.must(found, c.repos[path].acked); lacks != nil {
			c.w.failf("P3: %s is in sync for %s (%v) and lacks op %d", st.Name, path, entry, lacks.op)
		}
		compared++
		switch {
		case firstName == "":
			first, firstName = found, st.Name
		case first.equal(found):
		case c.tamperedWith(path):
			differ = true
		case !marked:
			c.w.failf("P5: %s and %s differ for %s, and the ledger says %v", firstName, st.Name, path, entry)
		}
	}
	if compared == len(vs.Succession) && !differ && entry == nil {
		c.alike(path)
	}
}

// read checks P4 for an answer that is not marked as possibly old. acked is how
// many writes had been acknowledged when it began.
func (c *check) read(path string, acked int, found *content) {
	if lacks := c.must(found, c.repos[path].acked[:acked]); lacks != nil {
		c.w.failf("P4: a read of %s lacks op %d, acknowledged before it began", path, lacks.op)
	}
}

// loss notes that an operator took one storage's replica for the truth.
func (c *check) loss(path, storage string) {
	found := c.w.storage(storage).disk.repos[path]
	for _, wr := range c.ops[1:] {
		// A write that is acknowledged in a moment may have had its effect already.
		if wr.path == path && !wr.lost && (wr.acked || wr.at != nil || wr.found) && c.lacks(found, wr) {
			wr.lost = true
			c.w.cov.LostWrites++
		}
	}
}
