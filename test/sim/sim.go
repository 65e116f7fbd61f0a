package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"praefect/fsm/state"
)

// Run plays the schedule of a seed, adds its events to the coverage,
// and returns how it broke a promise, or nil. The trace, if not nil, is written
// to as it goes.
func Run(seed uint64, cov *Coverage, trace io.Writer) error {
	w := &simulation{seed: seed, rand: rand.New(rand.NewPCG(seed, 0x5eed)), cluster: "sim", cov: cov, out: trace}
	defer w.close()
	w.build()
	w.every(200*time.Millisecond, w.check.quorum)
	w.run(2 * time.Second)
	for range w.setup.clients {
		(&client{w: w, in: pick(w, w.instances...)}).next()
	}
	if !w.setup.undisturbed {
		w.after(0, w.trouble)
	}
	w.run(2*time.Second + w.setup.span)
	w.heal()
	w.converge()
	cov.Schedules++
	cov.Events += w.events
	if w.failure != nil {
		return fmt.Errorf("seed %d, after %v: %w", seed, w.now.Round(time.Millisecond), w.failure)
	}
	return nil
}

// every runs fn again and again, by the true time.
func (w *simulation) every(d time.Duration, fn func()) {
	w.after(d, func() {
		fn()
		w.every(d, fn)
	})
}

// close ends the remaining tasks.
func (w *simulation) close() {
	for _, in := range w.instances {
		in.end()
	}
	for _, s := range w.storages {
		s.end()
	}
}

// converge lets time pass until all is well again, which must come.
func (w *simulation) converge() {
	limit := w.now + quietSpan
	for w.failure == nil && !w.over {
		w.run(w.now + 500*time.Millisecond)
		why := w.unwell()
		if why == "" {
			w.check.verified()
			return
		}
		if w.now > limit {
			w.failf("it does not converge: %s", why)
		}
		w.mend()
	}
}

// unwell names the first fault in the end, "" if all is well.
func (w *simulation) unwell() string {
	s := w.history.last()
	vs := s.VirtualStorage(virtualStorage)
	if vs == nil {
		return "nothing is defined"
	}
	for _, st := range vs.Succession {
		if st.State != state.Serving {
			return fmt.Sprintf("%s is %s", st.Name, st.State)
		}
	}
	for _, path := range w.paths {
		if e := s.Entry(key(path)); e != nil {
			return fmt.Sprintf("%s: %v", path, e)
		}
		for _, st := range vs.Succession {
			if found, ok := w.check.onDisk(&st, path); !ok {
				return fmt.Sprintf("%s has another disk", st.Name)
			} else if first, _ := w.check.onDisk(&vs.Succession[0], path); !first.equal(found) {
				if w.check.tamperedWith(path) {
					return fmt.Sprintf("%s of %s differs, and is not found yet", path, st.Name)
				}
				w.failf("P5: %s of %s differs in the end", path, st.Name)
			}
		}
	}
	for _, in := range w.instances {
		if !in.gone && (in.ledger == nil || !in.leased()) {
			return in.name + " has no lease"
		}
	}
	if w.replacing {
		return "an instance is being replaced"
	}
	for _, known := range s.Instances {
		if i := slices.IndexFunc(w.instances, func(in *instance) bool { return in.id == known.ID }); w.instances[i].gone {
			return fmt.Sprintf("%s is gone, and registered as %d", known.Name, known.Incarnation)
		}
	}
	return ""
}
