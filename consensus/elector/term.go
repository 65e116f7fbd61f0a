package elector

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/consensus/settings"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// Errors of Term.DeclareGone.
var (
	// ErrNoInstance: no registered instance has that name or id.
	ErrNoInstance = errors.New("no such instance")
	// ErrAlive: the instance was heard of a moment ago, or leads.
	ErrAlive = errors.New("the instance is there")
)

// Term is a leader's knowledge in one term beyond its view, and the order in which it uses it:
// what the instances send, the leases that are granted, the decisions and their ends. Package
// session and the simulation bring it the events, each with the time.
type Term struct {
	*lease.Grantor
	// Reports are the reports of the instances about their settings.
	Reports map[state.Incarnation]settings.Report
	// Received are the last reports on the storages, by instance id.
	Received map[string]health.Received
	// Silent is since when each instance that is looked at is silent.
	Silent map[state.Incarnation]time.Duration
	// Gone names the operator that says that an incarnation is gone, and why.
	Gone map[state.Incarnation]string

	// reportAge is for how long a report on storages counts, lately the rest of a message.
	reportAge, lately time.Duration
	refused           map[string][]state.Incarnation // found by the instance of that id
	pauses            map[state.Incarnation][]routing.WritePauseReport
	probe             []state.Incarnation
	memory            Memory
	watermark         state.Index
	calm              calm
}

// NewTerm begins a term, in which nothing was heard of any instance. A report on storages counts
// for reportAge; that an instance is there, or found a port refusing, counts for lately.
func NewTerm(e lease.Election, reportAge, lately time.Duration) *Term {
	return &Term{
		Grantor: lease.NewGrantor(e), reportAge: reportAge, lately: lately,
		Reports: make(map[state.Incarnation]settings.Report), Received: make(map[string]health.Received),
		Gone: make(map[state.Incarnation]string), refused: make(map[string][]state.Incarnation),
		pauses: make(map[state.Incarnation][]routing.WritePauseReport),
	}
}

// Hear takes the message of an instance. It reports whether decisions may depend on the news.
func (t *Term) Hear(now time.Duration, m *lease.ToLeader) (news bool) {
	t.Grantor.Received(now, m)
	before, known := t.Received[m.InstanceID]
	news = !known || !slices.Equal(before.Reports, m.Reports) || m.Stopping || m.Report != nil ||
		t.Reports[m.Incarnation].Digest != m.Settings || len(m.PauseReports)+len(m.Refused)+len(t.refused) > 0
	received := health.Received{At: now, Reports: m.Reports}
	if m.Idle && health.AllWell(m.Reports) {
		received.For = health.IdleAge
	}
	t.Received[m.InstanceID] = received
	if m.Report != nil {
		t.Reports[m.Incarnation] = *m.Report
	} else if t.Reports[m.Incarnation].Digest != m.Settings {
		delete(t.Reports, m.Incarnation) // its former report does not hold any more
	}
	set(t.pauses, m.Incarnation, m.PauseReports)
	set(t.refused, m.InstanceID, m.Refused)
	return news
}

func set[K comparable, V any](m map[K][]V, key K, values []V) {
	if delete(m, key); len(values) > 0 {
		m[key] = values
	}
}

// Message is the message to an instance, without pauses of writes.
func (t *Term) Message(now time.Duration, to state.Incarnation) *lease.FromLeader {
	m := &lease.FromLeader{Probe: slices.Clone(t.probe), Settings: t.Reports[to].Digest}
	t.Fill(now, to, m)
	t.tell(m)
	for _, inc := range m.Probe {
		if since, ok := t.Silent[inc]; ok {
			m.Silent = append(m.Silent, lease.Silence{Incarnation: inc, Millis: (now - since).Milliseconds()})
		}
	}
	return m
}

// GrantLeases grants the leases that can be granted, none if the leader is barred, to instances
// that are members; no members are known before the first configuration. asked tells of another
// question to all, risen that the watermark has changed.
func (t *Term) GrantLeases(now time.Duration, view *state.State, members, voters []string, barred bool) (granted []state.Incarnation, asked, risen bool) {
	may := make(map[state.Incarnation]bool, len(view.Instances))
	for _, in := range view.Instances {
		_, gone := t.Gone[in.Incarnation]
		may[in.Incarnation] = !gone && (len(members) == 0 || slices.Contains(members, in.ID))
	}
	t.Voters(voters) // ▲ lease-alone-in-calm: no lease without a majority, however rare the heartbeats are
	t.Live(now, may)
	t.Committed(now, view.Index)
	if !barred {
		granted = t.Grant(now, view.Index)
	}
	if asked = t.Waits(); asked {
		t.Ask()
	}
	before := t.watermark
	t.watermark = t.Watermark(now)
	return granted, asked, t.watermark != before
}

// Counts counts the present reports of the voters.
func (t *Term) Counts(now time.Duration, voters []string) map[health.Name]health.Count {
	return health.CountReports(now, t.reportAge, voters, t.Received)
}

// Moment is the present one for the operation of that id.
func (t *Term) Moment(now time.Duration, view *state.State, counts map[health.Name]health.Count, id string) Moment {
	m := Moment{Now: now, View: view, Counts: counts, Leases: t, PauseReports: make(map[state.Incarnation]routing.WritePauseReport)}
	for inc, reports := range t.pauses {
		for _, r := range reports {
			if r.ID == id {
				m.PauseReports[inc] = r
			}
		}
	}
	return m
}

// ForgetPauses forgets the reports about pauses: the ones about a new pause are still to come.
func (t *Term) ForgetPauses() { clear(t.pauses) }

// Decide makes the next decision. The caller sets the fields of in that this Term does not know.
// probes tells that other instances are to be looked at.
func (t *Term) Decide(in Input) (d Decision, probes bool) {
	in.Leases, in.Refusals, in.Reports, in.Gone = t, t.Refusals(in.Now), t.Reports, t.Gone
	d = Decide(in, t.memory)
	probes = !slices.Equal(d.Probe, t.probe)
	t.memory, t.Silent, t.probe = d.Memory, d.Silent, d.Probe
	return d, probes
}

// Proposing keeps the instances that the commands retire from getting a lease, before the commands are
// proposed.
func (t *Term) Proposing(commands []state.Command) { t.bar(commands, true) }

// Answered ends that once the outcome of the commands is known: before, the entry may still come.
func (t *Term) Answered(commands []state.Command) { t.bar(commands, false) }

func (t *Term) bar(commands []state.Command, barred bool) {
	for _, c := range commands {
		if c.Retire != nil {
			t.Bar(c.Retire.Incarnation, barred)
		}
	}
}

// Quiet tells that no decision waits for a short time to pass.
func (t *Term) Quiet(now time.Duration, counts map[health.Name]health.Count) bool {
	return len(t.Silent) == 0 && len(t.probe) == 0 && t.Settled(now) && !health.AnyDead(counts)
}

// Refusals counts the instances that lately found the port of an incarnation refusing.
func (t *Term) Refusals(now time.Duration) map[state.Incarnation]int {
	counts := make(map[state.Incarnation]int)
	for id, incs := range t.refused {
		if now-t.Received[id].At <= t.lately {
			for _, inc := range incs {
				counts[inc]++
			}
		}
	}
	return counts
}

// DeclareGone notes that an operator, named by by, says that the process of the instance of that
// name or id is gone, unless it leads (self) or was heard of lately. It returns the incarnations
// that Decide retires because of it.
func (t *Term) DeclareGone(now time.Duration, view *state.State, self state.Incarnation, name, by string) (gone []state.Incarnation, err error) {
	for _, in := range view.Instances {
		if in.Name != name && in.ID != name {
			continue
		}
		if in.Incarnation == self {
			return nil, fmt.Errorf("%w: %q leads", ErrAlive, name)
		}
		if heard, ok := t.LastReceived(in.Incarnation); ok && now-heard < t.lately {
			return nil, fmt.Errorf("%w: %q was heard of %v ago; stop its process first", ErrAlive, name, (now - heard).Round(time.Millisecond))
		}
		gone = append(gone, in.Incarnation)
	}
	if len(gone) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNoInstance, name)
	}
	for _, inc := range gone {
		t.Gone[inc] = by
	}
	slices.Sort(gone)
	return gone, nil
}
