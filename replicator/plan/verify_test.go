package plan_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

const week = 7 * 24 * time.Hour

func TestPace(t *testing.T) {
	for name, row := range map[string]struct {
		pace plan.Pace
		wait time.Duration
		ever bool
	}{
		"requested":                   {plan.Pace{Interval: week, Count: 10, Requested: true, Since: 0}, 0, true},
		"requested while it is off":   {plan.Pace{Count: 10, Requested: true}, 0, true},
		"off":                         {plan.Pace{Count: 10, Age: 1000 * week, Since: week}, 0, false},
		"off by a negative interval":  {plan.Pace{Interval: -1, Count: 10, Age: 1000 * week, Since: week}, 0, false},
		"the first step":              {plan.Pace{Interval: 1000 * time.Second, Count: 10, Since: -1, Age: 30 * time.Second}, 50 * time.Second, true},
		"after a step":                {plan.Pace{Interval: 1000 * time.Second, Count: 10, Since: 0}, 80 * time.Second, true},
		"some time after a step":      {plan.Pace{Interval: 1000 * time.Second, Count: 10, Since: 30 * time.Second}, 50 * time.Second, true},
		"long after a step":           {plan.Pace{Interval: 1000 * time.Second, Count: 10, Since: time.Hour}, 0, true},
		"none was counted":            {plan.Pace{Interval: 1000 * time.Second, Since: 0}, 800 * time.Second, true},
		"late: faster, and no burst":  {plan.Pace{Interval: 1000 * time.Second, Count: 10, Age: 900 * time.Second}, 20 * time.Second, true},
		"before a recovery":           {plan.Pace{Interval: week, Count: 10, Age: 2 * time.Hour, Since: 0, Recovered: time.Hour}, 0, true},
		"before it, while it is off":  {plan.Pace{Count: 10, Age: 2 * time.Hour, Since: 0, Recovered: time.Hour}, 0, true},
		"after it":                    {plan.Pace{Interval: 1000 * time.Second, Count: 10, Age: time.Minute, Since: 0, Recovered: time.Hour}, 80 * time.Second, true},
		"not late: as fast as always": {plan.Pace{Interval: 1000 * time.Second, Count: 10, Age: 899 * time.Second}, 80 * time.Second, true},
	} {
		if wait, ever := row.pace.Due(); wait != row.wait || ever != row.ever {
			t.Errorf("%s: got %v, %v, want %v, %v", name, wait, ever, row.wait, row.ever)
		}
	}
}

// What cannot be judged comes again sooner than others, but not as the first one for ever.
func TestPace_soonAgainAfterARecovery(t *testing.T) {
	p := plan.Pace{Interval: week, Age: 2 * time.Hour}
	if got := p.SoonAgain(); got != week*2/3 {
		t.Errorf("got %v", got)
	}
	p.Recovered = time.Hour
	if got := p.SoonAgain(); got != 0 {
		t.Errorf("of one that a recovery has brought first: %v", got)
	}
}

// TestPace_everyOneWithinTheInterval: each of any number of repositories, some of which are created
// meanwhile, is verified within the interval, or little later where many are removed at once, at a
// rate that is never much above their number by the interval.
func TestPace_everyOneWithinTheInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.IntRange(1, 14*24).Draw(t, "hours")) * time.Hour
		var looked []time.Duration // when each was looked at, or entered
		for range rapid.IntRange(1, 60).Draw(t, "repositories") {
			looked = append(looked, 0)
		}
		bound := interval
		removes := rapid.Bool().Draw(t, "removes")
		if removes {
			bound += interval / 4
		}
		counted, now, step, steps := len(looked), time.Duration(0), time.Duration(-1), 0
		for now < 5*interval {
			slices.Sort(looked)
			since := time.Duration(-1)
			if step >= 0 {
				since = now - step
			}
			p := plan.Pace{Interval: interval, Count: counted, Age: now - looked[0], Since: since}
			if p.Age > bound {
				t.Fatalf("after %v one of %d was not looked at for %v of %v", now, len(looked), p.Age, interval)
			}
			wait, _ := p.Due()
			if wait > 0 {
				now += wait
				continue
			}
			looked[0], step = now, now
			steps++
			switch n := rapid.IntRange(0, 20).Draw(t, "change"); {
			case n == 0 && removes && len(looked) > 1:
				looked = looked[1:]
			case n == 1 && len(looked) < 60:
				looked = append(looked, now)
				counted = len(looked)
			}
		}
		if most := 5*60*10/8 + 2; steps > most {
			t.Fatalf("%d steps in 5 rounds of 60 at most", steps)
		}
	})
}

// A repository that could not be judged comes again before its next turn, and others before it.
func TestPace_soonAgain(t *testing.T) {
	p := plan.Pace{Interval: week}
	if back := p.SoonAgain(); back <= week/2 || back >= week*8/10 {
		t.Errorf("it counts as looked at %v ago", back)
	}
	if back := (plan.Pace{Interval: -1}).SoonAgain(); back != 0 {
		t.Errorf("while it is off: %v", back)
	}
}

func TestLoad(t *testing.T) {
	for name, row := range map[string]struct {
		load plan.Load
		want bool
	}{
		"no repair":                {plan.Load{}, false},
		"a repair":                 {plan.Load{Repairs: 1}, true},
		"a repair for very long":   {plan.Load{Repairs: 1, Waited: time.Hour}, false},
		"a repair, and it is late": {plan.Load{Repairs: 1, Waited: time.Second, Late: true}, true},
		"late for a while":         {plan.Load{Repairs: 9, Waited: time.Minute, Late: true}, false},
	} {
		if got := row.load.Yields(); got != row.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if a, b, c := plan.LeaveAlone(time.Second, false), plan.LeaveAlone(time.Second, true), plan.LeaveAlone(time.Hour, false); a != 3*time.Second || b != time.Second || c != time.Minute {
		t.Errorf("rests of %v, %v, %v", a, b, c)
	}
}

func TestCompare(t *testing.T) {
	well := plan.Replica{Has: true, References: "1", Head: "refs/heads/main"}
	seen := func(change ...func(*plan.Seen)) []plan.Seen {
		list := []plan.Seen{{Storage: "p", Replica: well}, {Storage: "q", Replica: well}, {Storage: "r", Replica: well}}
		for i := range change {
			if change[i] != nil {
				change[i](&list[i])
			}
		}
		return list
	}
	away := func(s *plan.Seen) { s.Replica, s.Err = plan.Replica{}, errors.New("away") }
	lacks := func(s *plan.Seen) { s.Replica = plan.Replica{} }
	other := func(s *plan.Seen) { s.References = "2" }
	for name, row := range map[string]struct {
		seen    []plan.Seen
		alike   []string
		differ  []string
		what    string
		unknown []string
	}{
		"all alike":           {seen(), []string{"p", "q", "r"}, nil, "", nil},
		"all lack it":         {seen(lacks, lacks, lacks), []string{"p", "q", "r"}, nil, "", nil},
		"one lacks it":        {seen(nil, lacks), []string{"p", "r"}, []string{"q"}, "it lacks the repository, which the primary has", nil},
		"the primary does":    {seen(lacks, nil, lacks), []string{"p", "r"}, []string{"q"}, "it has the repository, which the primary lacks", nil},
		"references":          {seen(nil, nil, other), []string{"p", "q"}, []string{"r"}, "its references differ", nil},
		"the primary's":       {seen(other), []string{"p"}, []string{"q", "r"}, "its references differ", nil},
		"HEAD":                {seen(nil, func(s *plan.Seen) { s.Head = "refs/heads/x" }), []string{"p", "r"}, []string{"q"}, `HEAD names "refs/heads/x", not "refs/heads/main"`, nil},
		"the pool":            {seen(nil, func(s *plan.Seen) { s.Pool = "@pools/a.git" }), []string{"p", "r"}, []string{"q"}, `it borrows from the object pool "@pools/a.git", not ""`, nil},
		"damaged":             {seen(nil, func(s *plan.Seen) { s.Damaged = "missing blob" }), []string{"p", "r"}, []string{"q"}, "damaged: missing blob", nil},
		"a damaged primary":   {seen(func(s *plan.Seen) { s.Damaged = "missing blob" }), []string{"q", "r"}, []string{"p"}, "damaged: missing blob", nil},
		"one cannot tell":     {seen(nil, away), []string{"p", "r"}, nil, "", []string{"q"}},
		"the primary cannot":  {seen(away, other), nil, nil, "", []string{"p", "q", "r"}},
		"there is but one":    {seen()[:1], []string{"p"}, nil, "", nil},
		"one away, one other": {seen(nil, away, other), []string{"p"}, []string{"r"}, "its references differ", []string{"q"}},
	} {
		f := plan.Compare(row.seen)
		var differ []string
		for _, d := range f.Differences {
			differ = append(differ, d.Storage)
			if d.What != row.what {
				t.Errorf("%s: %q, want %q", name, d.What, row.what)
			}
		}
		if f.Primary != "p" || !slices.Equal(f.Alike, row.alike) || !slices.Equal(differ, row.differ) || !slices.Equal(f.Unknown, row.unknown) || (f.Why == nil) != (row.unknown == nil) {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}

func TestComparable(t *testing.T) {
	vs := &state.VirtualStorage{Name: "v", Succession: []state.Storage{
		{Name: "o", State: state.Out}, {Name: "p", State: state.Serving}, {Name: "q", State: state.Serving},
		{Name: "r", State: state.Serving}, {Name: "s", State: state.Backfilling},
	}}
	fenced := &state.VirtualStorage{Name: "v", Succession: []state.Storage{{Name: "p", State: state.Fenced}, {Name: "q", State: state.Serving}}}
	doubt := []state.Intent{{Incarnation: 1, InDoubt: &state.Doubt{}}}
	for name, row := range map[string]struct {
		vs    *state.VirtualStorage
		entry *state.Entry
		want  []string
	}{
		"clean":              {vs, nil, []string{"p", "q", "r"}},
		"one is behind":      {vs, &state.Entry{Behind: []string{"q"}}, []string{"p", "r"}},
		"the first is":       {vs, &state.Entry{Behind: []string{"p"}}, []string{"q", "r"}},
		"a write is open":    {vs, &state.Entry{Intents: []state.Intent{{Incarnation: 1, Kind: state.Open}}}, []string{"p", "q", "r"}},
		"in doubt":           {vs, &state.Entry{Intents: doubt}, nil},
		"being advanced":     {vs, &state.Entry{Advancing: "q"}, nil},
		"fenced":             {fenced, nil, nil},
		"no virtual storage": {nil, nil, nil},
	} {
		got, why := plan.Comparable(row.vs, row.entry)
		if !slices.Equal(got, row.want) || (why == "") != (row.want != nil) {
			t.Errorf("%s: got %q, %q, want %q", name, got, why, row.want)
		}
	}
}

func TestUnexplained(t *testing.T) {
	entry := func(changed state.Index, intents ...state.Intent) *state.Entry {
		return &state.Entry{Changed: changed, Intents: intents, Behind: []string{"r"}}
	}
	own, other := state.Intent{Incarnation: 1, Kind: state.Open}, state.Intent{Incarnation: 2, Kind: state.Open}
	doubt := state.Intent{Incarnation: 1, InDoubt: &state.Doubt{}}
	for name, row := range map[string]struct {
		before, after *state.Entry
		want          bool
	}{
		"clean":                         {nil, nil, true},
		"a write came":                  {nil, entry(5, own), false},
		"a write went":                  {entry(5, own), nil, false},
		"a write came and went":         {entry(5), entry(7), false},
		"the same one, own":             {entry(5, own), entry(5, own), true},
		"the same one, another's":       {entry(5, other), entry(5, other), false},
		"own and another's":             {entry(5, own, other), entry(5, own, other), false},
		"in doubt":                      {entry(5, doubt), entry(5, doubt), false},
		"listed, and nothing under way": {entry(5), entry(5), true},
	} {
		if got := plan.Unexplained(row.before, row.after, 1); got != row.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
