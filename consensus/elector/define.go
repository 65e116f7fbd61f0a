package elector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"praefect/consensus/settings"
	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// reportWait is how long an instance that has not reported its settings in this term is waited for
// before an operator is told.
const reportWait = 5 * time.Second

// define proposes the storages that every instance has in its settings and the state lacks, and says
// in which other points settings and state differ. It takes nothing away: only an operator does.
func (d *decider) define() {
	for _, c := range d.Configured {
		d.primaryElsewhere(c)
	}
	reports, missing := d.reports()
	if len(missing) == 0 { // ▲ elector-defines-before-all-reported: storages change only when every registered instance has reported the same list in this term
		for _, name := range settings.Names(reports) {
			if agreed, ok := settings.Agreed(reports, name); ok {
				d.defineAs(name, agreed)
			}
		}
	} else if d.overdue() && d.wants(reports) {
		d.alarm(condition.SettingsDiffer, "", "", "storages of the settings are not defined yet: they are when every registered instance has told its settings, and %s has not; start it, or praefectctl raft remove it", strings.Join(missing, ", "))
	}
	differing := settings.Differing(reports)
	for _, stray := range settings.Strays(d.View, reports) {
		d.alarm(condition.SettingsDiffer, stray.VirtualStorage, stray.Storage, "%s", stray.Text)
		d.differ(settings.Of(differing, stray.VirtualStorage, stray.Storage))
	}
	if differences := settings.Differences(reports); len(differences) > 0 {
		d.alarm(condition.SettingsDiffer, "", "", "%s", strings.Join(differences, "; "))
		d.differ(settings.Of(differing, "", ""))
	}
}

// differ adds to the last alarm the keys that it is about.
func (d *decider) differ(keys []condition.Setting) {
	d.out.Alarms[len(d.out.Alarms)-1].Settings = keys
}

// reports are the reports of the registered instances, the leader's own first, and the names of the
// instances that have not reported in this term.
func (d *decider) reports() (reports []settings.Report, missing []string) {
	if own, ok := d.Reports[d.Self]; ok {
		reports = append(reports, own)
	}
	for _, in := range d.View.Instances {
		r, ok := d.Reports[in.Incarnation]
		switch {
		case !ok:
			missing = append(missing, in.Name)
		case in.Incarnation != d.Self:
			reports = append(reports, r)
		}
	}
	return reports, missing
}

// overdue tells whether every registered instance has had the time to report.
func (d *decider) overdue() bool {
	for _, in := range d.View.Instances {
		if _, ok := d.Reports[in.Incarnation]; !ok && d.Now-d.out.Memory.known[in.Incarnation] < reportWait {
			return false
		}
	}
	return true
}

// wants tells whether a report has a storage that the state lacks.
func (d *decider) wants(reports []settings.Report) bool {
	for _, r := range reports {
		for _, c := range r.VirtualStorages {
			vs := d.View.VirtualStorage(c.Name)
			if vs == nil || slices.ContainsFunc(c.Storages, func(s settings.Storage) bool { return vs.Storage(s.Name) == nil }) {
				return true
			}
		}
	}
	return false
}

// defineAs proposes the missing storages of a virtual storage that the instances agree on.
func (d *decider) defineAs(name string, agreed []string) {
	vs := d.View.VirtualStorage(name)
	if vs == nil {
		if d.Unclaimed != nil {
			if why := d.Unclaimed(name); why != "" {
				d.alarm(condition.SettingsDiffer, name, "", "%s", why)
				return
			}
		}
		d.propose(state.Command{Define: &state.Define{VirtualStorage: name, Storages: agreed}})
		return
	}
	var was []string
	for _, s := range vs.Succession {
		was = append(was, s.Name)
	}
	added := slices.DeleteFunc(slices.Clone(agreed), func(s string) bool { return slices.Contains(was, s) })
	if len(added) > 0 {
		d.propose(state.Command{Define: &state.Define{VirtualStorage: name, Storages: slices.Concat(was, added), Was: was}})
	}
}

// primaryElsewhere tells of a primary that is not the one of the settings.
func (d *decider) primaryElsewhere(c Configured) {
	vs := d.View.VirtualStorage(c.VirtualStorage)
	if vs == nil {
		return
	}
	if primary, ok := vs.Primary(nil); ok && c.Primary != "" && primary.Name != c.Primary && vs.Storage(c.Primary) != nil {
		d.alarm(condition.PrimaryElsewhere, vs.Name, "", "the primary of %q is %q, not %q as in the settings, which order the first succession only; "+
			"to change it: praefectctl promote %s --virtual-storage %s", vs.Name, primary.Name, c.Primary, c.Primary, vs.Name)
	}
}

// ErrListed says that settings still list the thing to be removed, or may.
type ErrListed struct{ Why string }

// Error implements error.
func (e *ErrListed) Error() string { return e.Why }

// Removal returns the command that takes a storage, or with an empty name the virtual storage, out of
// the state for an operator. It is refused while an instance has it in its settings: the storage
// would be defined again at once.
func Removal(view *state.State, reports map[state.Incarnation]settings.Report, virtualStorage, storage, by string) (state.Command, error) {
	d := &decider{Input: Input{View: view, Reports: reports}}
	all, missing := d.reports()
	subject := fmt.Sprintf("virtual storage %q", virtualStorage)
	if storage != "" {
		subject = fmt.Sprintf("storage %q of %q", storage, virtualStorage)
	}
	if len(missing) > 0 {
		return state.Command{}, &ErrListed{fmt.Sprintf("not every instance has told its settings: %s may list %s; start the instance, or praefectctl raft remove it, and try again; nothing was changed",
			strings.Join(missing, ", "), subject)}
	}
	if listed := settings.Listed(all, virtualStorage, storage); listed != "" {
		return state.Command{}, &ErrListed{fmt.Sprintf("%s is in the settings of %s: take it out of every file and restart the instances one after the other, then try again; nothing was changed", subject, listed)}
	}
	if storage == "" {
		if why := view.WhyVirtualStorageKept(virtualStorage); why != nil {
			return state.Command{}, why
		}
		return state.Command{RemoveVirtualStorage: &state.RemoveVirtualStorage{
			VirtualStorage: virtualStorage, Epoch: view.VirtualStorage(virtualStorage).Epoch, By: by,
		}}, nil
	}
	if why := view.WhyKept(virtualStorage, []string{storage}); why != nil {
		return state.Command{}, why
	}
	define := &state.Define{VirtualStorage: virtualStorage, By: by}
	for _, s := range view.VirtualStorage(virtualStorage).Succession {
		define.Was = append(define.Was, s.Name)
		if s.Name != storage {
			define.Storages = append(define.Storages, s.Name)
		}
	}
	return state.Command{Define: define}, nil
}
