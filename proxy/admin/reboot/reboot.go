// Package reboot owns the answer to "may this machine be rebooted now?": for the machine of a
// storage, and for that of an instance.
// It promises that the answer is a function of the facts that instances report and of nothing else, that
// a no comes with its reason, and that a yes comes with the commands to give before and after.
// praefectctl and other tools of operators use it.
package reboot

import (
	"fmt"
	"slices"
	"strings"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// Kind says whose machine it is.
type Kind string

// The kinds.
const (
	Storage  Kind = "storage"
	Instance Kind = "instance"
)

// Answer is for an operator, or for a playbook.
type Answer struct {
	Schema int    `json:"schema"`
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	// VirtualStorages are the virtual storages that a storage is in.
	VirtualStorages []string `json:"virtual_storages,omitempty"`
	Allowed         bool     `json:"allowed"`
	// Why are the reasons of a no, or the facts that a yes rests on.
	Why []string `json:"why"`
	// Short says of which things the cluster has less while the machine is away.
	Short []string `json:"short"`
	// Before and After are the commands to give around the reboot.
	Before []string `json:"before"`
	After  []string `json:"after"`
}

// no adds a reason against.
func (a *Answer) no(format string, args ...any) { a.Why = append(a.Why, fmt.Sprintf(format, args...)) }

func (a *Answer) short(format string, args ...any) {
	a.Short = append(a.Short, fmt.Sprintf(format, args...))
}

// end makes the answer: without a reason against it is a yes, because of the given facts.
func (a *Answer) end(because ...string) Answer {
	a.Schema, a.Allowed = admin.Schema, len(a.Why) == 0
	if a.Allowed {
		a.Why = because
	} else {
		a.Before, a.After = nil, nil
	}
	for _, list := range []*[]string{&a.Why, &a.Short, &a.Before, &a.After} {
		if *list == nil {
			*list = []string{}
		}
	}
	return *a
}

// OfStorage judges the machine of a storage. impacts tell the effect of its absence, one for
// each virtual storage that it is in; led tells that the cluster has a leader.
func OfStorage(name string, led bool, impacts []admin.ImpactResponse) Answer {
	a := &Answer{Name: name, Kind: Storage}
	if !led {
		a.no("the cluster has no leader: %s can neither be drained nor replaced", name)
	}
	idle := true
	for _, i := range impacts {
		a.VirtualStorages = append(a.VirtualStorages, i.VirtualStorage)
		idle = a.one(i) && idle
	}
	if idle {
		return a.end(name + " serves nothing now: no request goes to it")
	}
	return a.end("every repository stays readable, and new writes have as many copies as consistency.copies wants")
}

// one judges a storage as a part of one virtual storage. It reports whether the storage serves nothing.
func (a *Answer) one(i admin.ImpactResponse) (idle bool) {
	in := i.Storage + " of " + i.VirtualStorage
	switch i.State {
	case state.Out:
		if i.Why != state.WhyDrained {
			a.short("%s is out (%s): it returns by itself when the machine is back", in, i.Why)
		}
		return true
	case state.Backfilling:
		a.short("%s is being backfilled: that goes on when the machine is back", in)
		return true
	case state.Fenced:
		a.no("a change of %s is under way (%s): ask again in a moment", in, i.Why)
		return false
	}
	switch left := len(i.Serving); {
	case left == 0:
		a.no("%s is the only storage that serves and can be reached", in)
	case left < i.Copies:
		a.no("%d of the other storages of %s would serve (%s), fewer than consistency.copies (%d)", left, i.VirtualStorage, strings.Join(i.Serving, ", "), i.Copies)
	}
	if i.Unavailable > 0 {
		more := ""
		if i.Unavailable > len(i.Repositories) {
			more = ", …"
		}
		a.no("repositories that could not be read without %[2]s: %[1]d: %[3]s%[4]s", i.Unavailable, in, strings.Join(i.Repositories, ", "), more)
	}
	if i.Short > 0 {
		a.short("repositories of %s on fewer storages than others, until they are repaired: %d", i.VirtualStorage, i.Short)
	}
	if len(i.Serving) == i.Copies {
		a.short("%s has no storage to spare meanwhile: if another one fails, new writes have fewer than %d copies", i.VirtualStorage, i.Copies)
	}
	a.Before = append(a.Before, fmt.Sprintf("praefectctl drain %s -virtual-storage %s -y -why reboot", i.Storage, i.VirtualStorage))
	a.After = append(a.After, fmt.Sprintf("praefectctl undrain %s -virtual-storage %s -y", i.Storage, i.VirtualStorage))
	return false
}

// OfInstance judges the machine of an instance.
func OfInstance(name string, raft admin.RaftStatusResponse) Answer {
	a := &Answer{Name: name, Kind: Instance}
	at := slices.IndexFunc(raft.Instances, func(i admin.Instance) bool { return i.Name == name })
	self := admin.Instance{Name: name, State: admin.NotMember}
	if at >= 0 {
		self = raft.Instances[at]
	}
	switch self.State {
	case admin.NotMember:
		return a.end(name + " is no member of the cluster")
	case admin.Unreachable:
		return a.end(name + " does not answer now: nothing rests on it")
	}
	if raft.Leader == "" || raft.OwnView {
		a.no("the cluster has no leader: no instance may go away before there is one")
		return a.end()
	}
	voters, alive, leased := 0, 0, 0
	var down []string
	for _, i := range raft.Instances {
		if i.State == admin.NotMember {
			continue
		}
		if i.Voter {
			voters++
		}
		switch {
		case i.Name == name:
		case i.State == admin.Unreachable:
			down = append(down, i.Name)
		default:
			if i.Voter {
				alive++
			}
			if i.LeaseMillis > 0 {
				leased++
			}
		}
	}
	majority := voters/2 + 1
	if self.Voter && alive < majority {
		because := "no other instance votes"
		if voters > 1 {
			because = fmt.Sprintf("%d of %d voters would be left, and a quorum takes %d", alive, voters, majority)
			if len(down) > 0 {
				because += "; these do not answer: " + strings.Join(down, ", ")
			}
		}
		a.no("without %s there is no quorum: %s", name, because)
	}
	if leased == 0 {
		a.no("no other instance has a lease: clients would find no instance that serves writes")
	}
	if self.Voter && alive == majority {
		a.short("while %s is away no other instance may fail: %d voters are left, and a quorum takes %d", name, alive, majority)
	}
	if self.State == admin.Leader {
		a.Before = append(a.Before, "praefectctl raft transfer -y -why reboot")
	}
	a.Before = append(a.Before, "systemctl stop praefect")
	a.After = append(a.After, "praefectctl raft status")
	return a.end(fmt.Sprintf("%d other voters answer, and a quorum takes %d", alive, majority))
}
