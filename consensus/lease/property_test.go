package lease_test

import (
	"testing"

	"pgregory.net/rapid"
)

// Whoever holds a lease, by true time, is counted by the leader of the latest
// term, and has applied whatever any leader ever called applied by all.
func TestLease_heldOnlyWhileCounted(t *testing.T) {
	var total seen
	rapid.Check(t, func(t *rapid.T) {
		w := newTestCluster(t)
		w.elect(w.instances[0])
		for range rapid.IntRange(20, 120).Draw(t, "steps") {
			in := w.pick("instance")
			l := w.newest()
			if old := w.pick("leader").leads; old != nil {
				l = old
			}
			switch rapid.IntRange(0, 16).Draw(t, "step") {
			case 0:
				if rapid.IntRange(0, 3).Draw(t, "elects") == 0 {
					w.elect(in)
				}
			case 1, 2:
				w.send(in, l, true)
				w.act(l, in)
				w.receive(in, l)
			case 3, 4:
				w.send(in, l, true)
			case 5:
				w.send(in, l, false)
			case 6, 7, 8:
				w.act(l, in)
			case 9, 10:
				w.receive(in, l)
			case 11:
				w.committed++
			case 12, 13:
				if in.view < w.committed {
					in.view++
				}
			case 14:
				w.pass(1100)
			case 15:
				w.pass(150)
			case 16:
				w.passToTheEnd(in)
			}
			w.check()
		}
		total.add(w.seen)
	})
	t.Logf("%+v", total)
	if total.leases == 0 || total.late == 0 || total.elections == 0 {
		t.Errorf("the schedules show nothing: %+v", total)
	}
}

func (s *seen) add(o seen) {
	s.leases += o.leases
	s.late += o.late
	s.elections += o.elections
}
