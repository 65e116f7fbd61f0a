package elector

import (
	"slices"
	"time"

	"praefect/consensus/health"
	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// rejoin proposes the findings about the disks of storages, and lets
// storages serve again that have been well for long enough.
func (d *decider) rejoin(vs *state.VirtualStorage) {
	for i := range vs.Succession {
		s := &vs.Succession[i]
		name := health.Name{VirtualStorage: vs.Name, Storage: s.Name}
		count := d.Counts[name]
		if len(count.Disks) > 1 {
			d.alarm(condition.DisksDiffer, vs.Name, s.Name, "the instances see different disks behind %q of %q: their addresses for it differ", s.Name, vs.Name)
			continue
		}
		disk := count.Disk()
		if disk == "" || !d.due(vs, s, disk, count) {
			continue
		}
		d.propose(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vs.Name, Storage: s.Name, FilesystemID: disk}})
	}
}

// due tells whether a storage with that disk is to be reported now.
func (d *decider) due(vs *state.VirtualStorage, s *state.Storage, disk string, count health.Count) bool {
	switch {
	case s.FilesystemID == "":
		return true // its first disk
	case s.State == state.Backfilling:
		return disk != s.FilesystemID && count.Agreed()
	case s.State == state.Serving && disk != s.FilesystemID && (!d.Settings.Failover || d.paused(vs)):
		// Where nothing is failed over, a secondary is backfilled all the same: no role
		// goes to any storage by it.
		primary, _ := vs.Primary(nil)
		return count.Agreed() && primary.Name != s.Name
	case s.State != state.Out || s.Why == state.WhyDrained:
		return false // one that serves with another disk is dead, and failed over
	case disk != s.FilesystemID:
		return count.Agreed() // it is backfilled, and serves only then
	}
	name := health.Name{VirtualStorage: vs.Name, Storage: s.Name}
	w, ok := d.out.Memory.well[name]
	if !ok {
		return false
	}
	at := w.since + d.returnAfter(vs, s.Name)
	if d.Now >= at || !d.serves(vs) || d.needed(vs, name) {
		return true
	}
	d.out.Rejoining[name] = at
	return false
}

// needed tells whether a repository is unavailable that the storage has: clients wait for it, so
// it serves at once.
func (d *decider) needed(vs *state.VirtualStorage, name health.Name) bool {
	for e := range d.View.Alike(vs.Name) {
		if vs.Unavailable(e) && !e.IsBehind(name.Storage) {
			return true
		}
	}
	return false
}

// serves tells whether anything of the virtual storage serves that is not dead.
func (d *decider) serves(vs *state.VirtualStorage) bool {
	for _, s := range vs.Succession {
		if s.State == state.Serving && !d.Counts[health.Name{VirtualStorage: vs.Name, Storage: s.Name}].Dead {
			return true
		}
	}
	return false
}

// returnAfter is how long a storage must be well before it serves again: longer the
// oftener it died lately.
func (d *decider) returnAfter(vs *state.VirtualStorage, name string) time.Duration {
	wait := d.Settings.ReturnAfter
	died := 0
	for _, c := range vs.History {
		lately := d.Wall.Sub(time.UnixMilli(c.Time)) < d.Settings.FlapWindow
		if c.Storage == name && c.To == state.Out && c.Why == state.WhyDead && lately {
			died++
		}
	}
	for range max(0, died-1) {
		wait = min(2*wait, d.Settings.ReturnAfterMax)
	}
	return wait
}

// retire ends incarnations of which it is proved that their process is gone, and
// has the others looked at that are not heard of.
func (d *decider) retire() {
	d.out.Silent = make(map[state.Incarnation]time.Duration)
	for _, instance := range d.View.Instances {
		inc := instance.Incarnation
		if inc == d.Self {
			continue
		}
		heard, ok := d.Leases.LastReceived(inc)
		if !ok {
			heard = d.out.Memory.known[inc] // it may have come a moment ago, or be silent since a former leader
		}
		// An operator that removed the instance, or calls it gone, has the last word. It gets no
		// lease any more, so that its last one ends.
		by, called := d.Gone[inc]
		gone := called || len(d.Members) > 0 && !slices.Contains(d.Members, instance.ID)
		silence := d.Now - heard
		if silence < d.Settings.ProbeAfter && !gone {
			continue
		}
		if !gone {
			d.out.Probe = append(d.out.Probe, inc)
			d.out.Silent[inc] = heard
		}
		if d.Leases.Leased(inc, d.Now) {
			continue // ▲ elector-retire-leased, elector-retire-removed-leased, elector-retire-removed-silent: never before its lease must have ended
		}
		retire := &state.Retire{Incarnation: inc}
		switch {
		case gone:
			retire.Proof, retire.By = state.ProofOperator, by
		case d.Refusals[inc] >= 2:
			retire.Proof = state.ProofRefused
		case silence >= d.Settings.RetireAfter:
			retire.Proof = state.ProofSilent
		default:
			continue
		}
		d.propose(state.Command{Retire: retire})
	}
}
