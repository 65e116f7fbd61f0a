package elector

import (
	"fmt"
	"slices"
	"time"

	"praefect/consensus/health"
	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// Decide compares the agreed state with the configuration and with the reports of the
// instances.
func Decide(in Input, memory Memory) Decision {
	d := &decider{Input: in}
	d.out.Rejoining = make(map[health.Name]time.Duration)
	d.out.Memory = d.remember(memory)
	d.define()
	massive := d.massive()
	for i := range in.View.VirtualStorages {
		vs := &in.View.VirtualStorages[i]
		if d.admit(vs) {
			continue // one thing at a time: the epoch changes
		}
		if d.failOver(vs, massive) {
			continue
		}
		d.rejoin(vs)
	}
	d.retire()
	d.raise()
	return d.out
}

type decider struct {
	Input
	out Decision
}

func (d *decider) propose(c state.Command) { d.out.Commands = append(d.out.Commands, c) }

// alarm raises a condition of a virtual storage and maybe one of its storages.
func (d *decider) alarm(name condition.Name, vs, storage, format string, args ...any) {
	d.out.Alarms = append(d.out.Alarms, condition.Raised{Name: name, VirtualStorage: vs, Storage: storage, Text: fmt.Sprintf(format, args...)})
}

// remember notes since when each storage is dead or well, and each incarnation known.
func (d *decider) remember(before Memory) Memory {
	now := Memory{
		died: make(map[health.Name]time.Duration), alive: make(map[health.Name]bool),
		well: make(map[health.Name]wellness), unseen: make(map[health.Name]time.Duration),
		known: make(map[state.Incarnation]time.Duration),
	}
	for _, instance := range d.View.Instances {
		inc := instance.Incarnation
		now.known[inc] = d.Now
		if since, ok := before.known[inc]; ok {
			now.known[inc] = since
		} else if since, ok := d.Silent[inc]; ok {
			now.known[inc] = min(since, d.Now)
		}
	}
	for i := range d.View.VirtualStorages {
		vs := &d.View.VirtualStorages[i]
		for j := range vs.Succession {
			s := &vs.Succession[j]
			name := health.Name{VirtualStorage: vs.Name, Storage: s.Name}
			count := d.Counts[name]
			// For one that was out already the time of death is not known here.
			if since, ok := before.died[name]; count.Dead && ok {
				now.died[name] = since
			} else if count.Dead && s.State != state.Out {
				now.died[name] = d.Now
			}
			if before.alive[name] || !count.Dead && count.Agreed() {
				now.alive[name] = true
			}
			if since, ok := before.unseen[name]; ok && s.State == state.Fenced && count.Disk() == "" {
				now.unseen[name] = since
			}
			disk := count.Disk()
			// A report by a connection older than the state is over.
			if disk == "" || disk == s.FilesystemID && !count.WellSince(s.Since) || disk != s.FilesystemID && !count.Agreed() {
				continue
			}
			now.well[name] = wellness{d.Now, disk}
			if w, ok := before.well[name]; ok && w.disk == disk {
				now.well[name] = w
			}
		}
	}
	return now
}

// admit ends the fences of a virtual storage once no instance can act by the state that was
// before them. It reports whether there are any.
func (d *decider) admit(vs *state.VirtualStorage) bool {
	fenced := vs.Fenced()
	if len(fenced) == 0 {
		return false
	}
	for _, s := range fenced {
		if !d.Leases.AppliedByAll(s.Since, d.Now) { // ▲ elector-admit-at-once: fence, wait, admit
			return true
		}
	}
	admit := &state.Admit{VirtualStorage: vs.Name, Epoch: vs.Epoch, By: fencedBy(vs, fenced[0].Name)}
	for _, s := range fenced {
		a := state.Admission{Storage: s.Name, As: state.Out, Why: s.Why}
		if s.Why == state.WhySwitchover {
			var known bool
			if a, known = d.afterSwitchover(vs, s.Name); !known {
				return true
			}
		}
		admit.Storages = append(admit.Storages, a)
	}
	d.propose(state.Command{Admit: admit})
	return true
}

// fencedBy is the author of the fence, by the history: the admission completes that change, so
// the history names the same operator for both.
func fencedBy(vs *state.VirtualStorage, storage string) string {
	for _, c := range slices.Backward(vs.History) {
		if c.Storage == storage && c.To == state.Fenced {
			return c.By
		}
	}
	return automatic
}

// afterSwitchover tells the new state of a storage that was fenced for a
// switchover: it serves on, unless it died meanwhile. False means that this has
// to be waited for.
func (d *decider) afterSwitchover(vs *state.VirtualStorage, storage string) (state.Admission, bool) {
	name := health.Name{VirtualStorage: vs.Name, Storage: storage}
	count := d.Counts[name]
	if disk := count.Disk(); disk != "" && !count.Dead {
		return state.Admission{Storage: storage, As: state.Serving, FilesystemID: disk}, true
	}
	since, ok := d.out.Memory.unseen[name]
	if !ok {
		since = d.Now
		d.out.Memory.unseen[name] = since
	}
	return state.Admission{Storage: storage, As: state.Out, Why: state.WhyDead}, count.Dead || d.Now-since >= d.Settings.AdmitWait
}

// failOver fences the storages of a virtual storage that serve and are dead. It
// reports whether it does.
func (d *decider) failOver(vs *state.VirtualStorage, massive bool) bool {
	var dead []string
	for _, s := range vs.Succession {
		name := health.Name{VirtualStorage: vs.Name, Storage: s.Name}
		if count := d.Counts[name]; count.Dead && s.State == state.Serving {
			dead = append(dead, s.Name)
		}
	}
	if len(dead) == 0 {
		return false
	}
	switch why := d.Counts[health.Name{VirtualStorage: vs.Name, Storage: dead[0]}].Why; {
	case !d.successor(vs, dead):
		d.alarm(condition.DeadNotReplaced, vs.Name, "", "%q of %q is dead (%s), and no other storage could serve in its place", dead, vs.Name, why)
	case !d.Settings.Failover:
		d.alarm(condition.DeadNotReplaced, vs.Name, "", "%q of %q is dead (%s); automatic failover is switched off: praefectctl promote", dead, vs.Name, why)
	case d.paused(vs):
		d.alarm(condition.DeadNotReplaced, vs.Name, "", "%q of %q is dead (%s); automatic failover is paused: praefectctl promote, or praefectctl resume", dead, vs.Name, why)
	case massive:
		d.alarm(condition.DeadNotReplaced, vs.Name, "", "%q of %q is dead (%s), and so are more than half of all storages, which the network may be to blame for: praefectctl promote", dead, vs.Name, why)
	case d.Now < d.Started+d.Settings.WarmUp && !d.wereAlive(vs, dead):
		// A storage that starts late is not dead.
	default:
		d.propose(state.Command{Fence: &state.Fence{
			VirtualStorage: vs.Name, Storages: dead, Why: state.WhyDead, Epoch: vs.Epoch, By: automatic,
		}})
		return true
	}
	return false
}

// automatic says in the history that no operator asked.
const automatic = "automatic"

// wereAlive tells whether all of the storages were seen alive in this term.
func (d *decider) wereAlive(vs *state.VirtualStorage, names []string) bool {
	for _, n := range names {
		if !d.out.Memory.alive[health.Name{VirtualStorage: vs.Name, Storage: n}] {
			return false
		}
	}
	return true
}

// successor tells whether a storage serves that is not dead, and a majority is
// connected to it.
func (d *decider) successor(vs *state.VirtualStorage, dead []string) bool {
	return slices.ContainsFunc(vs.Succession, func(s state.Storage) bool {
		return s.State == state.Serving && !slices.Contains(dead, s.Name) &&
			d.Counts[health.Name{VirtualStorage: vs.Name, Storage: s.Name}].Agreed()
	})
}

func (d *decider) paused(vs *state.VirtualStorage) bool {
	return vs.Paused != nil && (vs.Paused.Until == 0 || d.Wall.UnixMilli() < vs.Paused.Until)
}

// massive tells whether more than half of all storages have died at about the
// same time. Storages that were failed over in that time count, too.
func (d *decider) massive() bool {
	var all int
	var times []time.Duration
	for i := range d.View.VirtualStorages {
		vs := &d.View.VirtualStorages[i]
		for _, s := range vs.Succession {
			all++
			if since, ok := d.out.Memory.died[health.Name{VirtualStorage: vs.Name, Storage: s.Name}]; ok {
				times = append(times, since)
			}
		}
	}
	slices.Sort(times)
	for i := range times {
		together := 0
		for _, t := range times[i:] {
			if t-times[i] <= d.Settings.MassWindow {
				together++
			}
		}
		if 2*together > all {
			return true
		}
	}
	return false
}
