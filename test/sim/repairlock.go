package sim

import (
	"errors"
	"time"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/steps"
)

// wishFor bounds how long the writes of other instances wait for a repair.
const wishFor = 2 * time.Second

// acquire takes the repair lock of a repository.
func (d *driver) acquire(t *task, path string, pause bool) (machine.ID, *guard, error) {
	id, tk := d.id(), &guard{}
	d.guards[id] = tk
	d.step(machine.Acquire{Guard: id, Key: key(path), Pause: pause})
	if err := tk.answer(t, 2*time.Second); err != nil {
		d.step(machine.Free{Guard: id, Arrived: true})
		delete(d.guards, id)
		return 0, nil, err
	}
	if !pause {
		return id, tk, nil
	}
	// The other instances are to have their writes wait, too.
	d.in.w.cov.Wishes++
	tk.done = nil
	d.step(machine.Wish{Guard: id, Bound: wishFor})
	if err := tk.answer(t, wishFor); err != nil {
		if d.in.up {
			d.release(id, true)
		}
		return 0, nil, err
	}
	return id, tk, nil
}

// answer waits for the machine's Done.
func (tk *guard) answer(t *task, d time.Duration) error {
	if !t.waitFor(&tk.news, d, func() bool { return tk.done != nil }) {
		return errBusy
	}
	err := tk.done.Err
	var refusal *state.Refusal
	switch {
	case errors.Is(err, repair.ErrRepositoryBusy), errors.Is(err, machine.ErrUnknown):
		return errBusy
	case errors.Is(err, repair.ErrInvalidated):
		return errInvalidated
	case errors.As(err, &refusal):
		return errInvalidated
	}
	return err
}

// ask brings an event of a guard to the machine and waits for the answer.
func (d *driver) ask(t *task, tk *guard, e machine.Event) (*state.State, error) {
	tk.done = nil
	d.step(e)
	if err := tk.answer(t, -1); err != nil {
		return nil, err
	}
	return tk.done.View, nil
}

func (d *driver) release(id machine.ID, arrived bool, doubtful ...string) {
	d.step(machine.Free{Guard: id, Arrived: arrived, Doubtful: doubtful})
	delete(d.guards, id)
}

// copyLimit bounds a copy.
const copyLimit = 3 * time.Second

// repairing is a repair that has the repair lock of its repository, and an intent there.
type repairing struct {
	d    *driver
	path string
	id   machine.ID
	tk   *guard       // nil before the lock
	view *state.State // in which the intent is
	// deadline is that of a copy, dated the wall clock when the intent was answered under a lease.
	deadline, dated time.Duration

	pause   bool      // new writes wait
	copies  []copying // under way
	later   map[string]time.Duration
	seen    string   // the storage that it looked at last
	replica *content // there
	// copying tells that the intent is one for copies, called that calls were made under it.
	copying, called bool
}

// begin takes the repair lock of a repository and has opens answered, which opens an intent.
func (d *driver) begin(t *task, path string, pause bool, opens func(machine.ID) machine.Event) (*repairing, error) {
	id, tk, err := d.acquire(t, path, pause)
	if err != nil {
		return nil, err
	}
	r := &repairing{d: d, path: path, id: id, tk: tk}
	if opened := r.intent(t, opens(id)); opened.Err != nil {
		d.release(id, true)
		return nil, opened.Err
	}
	return r, nil
}

// intent has an event answered that opens an intent.
func (r *repairing) intent(t *task, e machine.Event) steps.Result {
	d := r.d
	r.deadline = d.in.now() + copyLimit
	view, err := d.ask(t, r.tk, e)
	if err != nil {
		return steps.Result{Err: err}
	}
	r.view, r.dated = view, d.in.w.wall()-(d.in.now()-r.tk.done.At)
	return steps.Result{VS: view.VirtualStorage(virtualStorage), Entry: view.Entry(key(r.path))}
}

// end gives the repair lock back after a repair of which nothing can happen any more.
func (r *repairing) end() {
	if r.d.in.up {
		r.d.release(r.id, true)
	}
}

// opens opens an intent under which only references are looked at.
func opens(id machine.ID) machine.Event {
	return machine.OpenIntent{Guard: id, Scope: state.Scope{RefsOnly: true}}
}

// equalTo are the given storages whose replica is equal to the authority's.
func (d *driver) equalTo(t *task, path string, authority *content, storages []string) []string {
	var equal []string
	for _, name := range storages {
		if c, err := d.in.link(name).look(t, path); err == nil && authority.equal(c) {
			equal = append(equal, name)
		}
	}
	return equal
}
