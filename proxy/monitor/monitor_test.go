package monitor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/proxy/admin/admintest"
	"praefect/proxy/monitor"
)

// bench is a Monitor over a cluster in memory.
type bench struct {
	*admintest.Cluster
	*monitor.Monitor
	facts condition.Facts
	away  map[string]bool
	log   bytes.Buffer
}

func newBench(t *testing.T, instance string, exchange func(context.Context, []condition.Condition) ([]condition.Condition, error)) *bench {
	b := &bench{
		Cluster: admintest.New(t, "gitaly-1", "gitaly-2", "gitaly-3"), away: make(map[string]bool),
		facts: condition.Facts{Instance: instance, Leader: "praefect-1", Leased: true},
	}
	b.Monitor = monitor.New(monitor.Deps{
		View: b.Cluster.View, Copies: 2, Exchange: exchange, Log: slog.New(slog.NewJSONHandler(&b.log, nil)),
		Facts: func() condition.Facts { return b.facts },
		Observation: func(vs, storage string) reachability.Observation {
			o := b.Cluster.Observation(vs, storage)
			o.Reachable = !b.away[storage]
			return o
		},
	})
	return b
}

func names(list []condition.Condition) string {
	var all []string
	for _, c := range list {
		all = append(all, strings.TrimSuffix(string(c.Name)+" "+c.Storage, " "))
	}
	return strings.Join(all, ", ")
}

func TestMonitor_shortageCountsAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "praefect-1", nil)
		b.WrittenOnlyTo("a.git", "gitaly-1")             // on one storage
		b.WrittenOnlyTo("b.git", "gitaly-1", "gitaly-2") // on two, which is enough
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{0, ""}, {time.Minute, ""}, {time.Second, "too-few-copies"}} {
			time.Sleep(step.wait)
			b.Look(t.Context())
			if got := names(b.Last()); got != step.want {
				t.Errorf("after %v more: got %q, want %q", step.wait, got, step.want)
			}
		}
		// A repository that is short all the time is one that somebody goes on writing to, too.
		b.WrittenOnlyTo("a.git", "gitaly-1")
		b.Look(t.Context())
		if got := b.Last(); names(got) != "too-few-copies" || !strings.Contains(got[0].Text, "1 repository of default, such as a.git") {
			t.Errorf("after another write: got %v", got)
		}
	})
}

func TestShortages_aboveTheirLimitAreCounted(t *testing.T) {
	b := newBench(t, "praefect-1", nil)
	const more = 3
	for n := range monitor.Tracked + more {
		b.WrittenOnlyTo(fmt.Sprintf("%d.git", n), "gitaly-1")
	}
	now, s := time.Now(), &monitor.Shortages{}
	s.Count(b.Cluster.View(), 2, now)
	if n := s.Len(); n != monitor.Tracked {
		t.Errorf("%d are remembered, want %d", n, monitor.Tracked)
	}
	if got := s.Count(b.Cluster.View(), 2, now.Add(2*time.Minute)); got != monitor.Tracked+more {
		t.Errorf("got %d, want %d", got, monitor.Tracked+more)
	}
}

func TestMonitor_countsWhatNobodyCanServe(t *testing.T) {
	b := newBench(t, "praefect-1", nil)
	b.WrittenOnlyTo("a.git", "gitaly-1")
	b.away["gitaly-1"] = true
	if got, want := names(b.Conditions(t.Context())), "no-primary, repository-unavailable, storage-away gitaly-1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMonitor_followerShowsTheLeadersConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leader := newBench(t, "praefect-1", nil)
		leader.facts.Raised = []condition.Raised{{Name: condition.DeadNotReplaced, VirtualStorage: "default", Text: "failover is off"}}
		leader.facts.Configured, leader.facts.Members = 3, []condition.Member{{Name: "praefect-1", Voter: true, Heard: true, Leased: true}, {Name: "praefect-2", Voter: true, Heard: true, Leased: true}}
		var fails error
		follower := newBench(t, "praefect-2", func(ctx context.Context, own []condition.Condition) ([]condition.Condition, error) {
			if fails != nil {
				return nil, fails
			}
			return leader.Receive("praefect-2", own), nil
		})
		follower.facts.Certificates = []condition.Certificate{{Key: "tls.certificate_path", Path: "server.crt", Left: time.Hour}}
		const all = "cannot-lose-any, certificate-expires, dead-not-replaced, fewer-voters"
		if got := names(follower.Conditions(t.Context())); got != all {
			t.Errorf("the follower shows %q, want %q", got, all)
		}
		if got := names(leader.Conditions(t.Context())); got != all {
			t.Errorf("the leader shows %q, want %q: it was told", got, all)
		}
		fails = errors.New("connection refused")
		time.Sleep(monitor.Remembered)
		if got := names(follower.Conditions(t.Context())); got != all {
			t.Errorf("for a while without the leader: got %q", got)
		}
		time.Sleep(time.Second)
		if got := names(follower.Conditions(t.Context())); got != "certificate-expires" {
			t.Errorf("long without the leader: got %q", got)
		}
		if got := names(leader.Conditions(t.Context())); strings.Contains(got, "certificate-expires") {
			t.Errorf("the leader has not heard of it for long, and shows %q", got)
		}
	})
}

func TestMonitor_doesNotWaitForALeaderThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "praefect-2", func(ctx context.Context, _ []condition.Condition) ([]condition.Condition, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		began := time.Now()
		b.Conditions(t.Context())
		if took := time.Since(began); took != monitor.ExchangeTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

// lines are the messages in the log with the condition that each is about.
func (b *bench) lines(t *testing.T) (all []string) {
	for line := range strings.Lines(b.log.String()) {
		var l struct{ Level, Msg, Condition, Storage, Text string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Join([]string{l.Level, l.Msg, l.Condition, l.Storage}, " "))
	}
	b.log.Reset()
	return all
}

func TestMonitor_logsTheBeginningAndTheEnd(t *testing.T) {
	b := newBench(t, "praefect-1", nil)
	look := func() []string {
		b.Look(t.Context())
		return b.lines(t)
	}
	if got := look(); len(got) > 0 {
		t.Errorf("nothing is the matter: got %q", got)
	}
	b.away["gitaly-3"] = true
	if got := look(); !slices.Equal(got, []string{"WARN condition begins storage-away gitaly-3"}) {
		t.Errorf("one begins: got %q", got)
	}
	if got := look(); len(got) > 0 {
		t.Errorf("it goes on: got %q", got)
	}
	b.away["gitaly-3"] = false
	b.facts.Leader = ""
	if got := look(); !slices.Equal(got, []string{"ERROR condition begins no-leader ", "INFO condition ends storage-away gitaly-3"}) {
		t.Errorf("one ends and another begins: got %q", got)
	}
}

func TestMonitor_metrics(t *testing.T) {
	b := newBench(t, "praefect-1", nil)
	b.facts.VirtualStorages = nil
	b.away["gitaly-3"] = true
	b.facts.Raised = []condition.Raised{{Name: condition.PrimaryElsewhere, Text: "a notice"}}
	b.Look(t.Context())
	registry := prometheus.NewRegistry()
	registry.MustRegister(b.Collector())
	if n, err := testutil.GatherAndCount(registry, "praefect_condition"); err != nil || n != len(condition.Kinds()) {
		t.Errorf("%d series, %v: want one for each kind", n, err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"praefect_alarms": 1, "praefect_condition storage-away degraded": 1, "praefect_condition primary-not-as-configured notice": 1,
		"praefect_condition no-leader unavailable": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
