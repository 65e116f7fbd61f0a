package main

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"praefect/fsm/condition"
	"praefect/proxy/admin"
)

// topFigures are the metrics that top is made of.
var topFigures = []string{
	"grpc_server_started_total", "grpc_server_handled_total", "grpc_server_handling_seconds", "gitaly_praefect_read_distribution",
	"gitaly_praefect_replication_queue_depth", "gitaly_praefect_replication_jobs", "gitaly_praefect_transactions_total",
	"praefect_writes_waiting", "praefect_writes_queued_total", "praefect_consensus_term",
}

// sample is the answers of all instances at one moment.
type sample struct {
	at        time.Time
	status    admin.StatusResponse
	raft      admin.RaftStatusResponse
	changes   []admin.Event
	instances []admin.FiguresResponse
	problems  []string
}

// topDocument is one screen of top.
type topDocument struct {
	Schema int       `json:"schema"`
	Time   time.Time `json:"time"`
	// Seconds is over how long rates are taken; 0 on the first screen, which has none.
	Seconds    float64               `json:"seconds"`
	Health     condition.Health      `json:"health"`
	Leader     string                `json:"leader"`
	Term       uint64                `json:"term"`
	Elections  uint64                `json:"elections"` // terms since top began
	CanLose    int                   `json:"can_lose"`
	Instances  []topInstance         `json:"instances"`
	Storages   []topStorage          `json:"storages"`
	Queue      map[string]float64    `json:"queue"` // jobs by state
	Methods    []topMethod           `json:"methods"`
	Changes    []admin.Event         `json:"changes"`
	Conditions []condition.Condition `json:"conditions"`
	Problems   []string              `json:"problems"`
}

// topInstance is one line of instances. Rates are a second's.
type topInstance struct {
	Name     string              `json:"name"`
	State    admin.InstanceState `json:"state"`
	LeaseMS  int64               `json:"lease_ms"`
	Asked    bool                `json:"asked"` // its figures could be had
	Requests float64             `json:"requests"`
	Failed   float64             `json:"failed"`
	Running  float64             `json:"running"`
	// P50 and P99 are seconds that calls took, an upper bound by the buckets; 0 if there were none.
	P50     float64 `json:"p50_seconds"`
	P99     float64 `json:"p99_seconds"`
	Votes   float64 `json:"votes"`
	Waiting float64 `json:"writes_waiting"`
}

type topStorage struct {
	VirtualStorage string `json:"virtual_storage"`
	admin.Storage
	Primary bool    `json:"primary"`
	Reads   float64 `json:"reads"`
	Repairs float64 `json:"repairs"`
}

type topMethod struct {
	Name     string  `json:"name"`
	Requests float64 `json:"requests"`
}

// topMethods bounds the methods on a screen.
const topMethods = 5

// compare makes a screen of two samples; the first one has no former, and no rates. term is the one at
// the beginning.
func compare(former *sample, now sample, term uint64) topDocument {
	d := topDocument{
		Schema: admin.Schema, Time: now.at, Health: now.status.Health, Leader: now.raft.Leader, Term: now.raft.Term, CanLose: now.raft.CanLose,
		Instances: []topInstance{}, Storages: []topStorage{}, Queue: map[string]float64{}, Methods: []topMethod{}, Changes: now.changes,
		Conditions: now.status.Conditions, Problems: now.problems,
	}
	if term != 0 && now.raft.Term > term {
		d.Elections = now.raft.Term - term
	}
	if former != nil {
		d.Seconds = now.at.Sub(former.at).Seconds()
	}
	rates := ratesOf(former, now)
	for _, i := range now.raft.Instances {
		line := topInstance{Name: i.Name, State: i.State, LeaseMS: i.LeaseMillis}
		if at := slices.IndexFunc(now.instances, func(f admin.FiguresResponse) bool { return f.Instance == i.Name }); at >= 0 {
			line.fill(now.instances[at], rates[i.Name])
		}
		d.Instances = append(d.Instances, line)
	}
	for _, vs := range now.status.VirtualStorages {
		for _, st := range vs.Storages {
			line := topStorage{VirtualStorage: vs.Name, Storage: st, Primary: st.Name == vs.Primary}
			for _, r := range rates {
				line.Reads += r.sum("gitaly_praefect_read_distribution", "storage", st.Name, "virtual_storage", vs.Name)
			}
			for _, f := range now.instances {
				line.Repairs += sumOf(f.Figures, "gitaly_praefect_replication_jobs", "gitaly_storage", st.Name, "virtual_storage", vs.Name)
			}
			d.Storages = append(d.Storages, line)
		}
	}
	// Every instance counts the same queue: the one that sees most is right.
	for _, f := range now.instances {
		for _, state := range []string{"ready", "in_progress", "failed", "dead"} {
			d.Queue[state] = max(d.Queue[state], sumOf(f.Figures, "gitaly_praefect_replication_queue_depth", "state", state))
		}
	}
	d.Methods = busiest(rates)
	return d
}

// fill fills in the figures of the instance about itself.
func (l *topInstance) fill(f admin.FiguresResponse, r rate) {
	l.Asked = true
	l.Requests = r.sum("grpc_server_handled_total")
	l.Failed = l.Requests - r.sum("grpc_server_handled_total", "grpc_code", "OK")
	l.Running = max(0, sumOf(f.Figures, "grpc_server_started_total")-sumOf(f.Figures, "grpc_server_handled_total"))
	l.P50, l.P99 = r.quantile("grpc_server_handling_seconds", 0.5), r.quantile("grpc_server_handling_seconds", 0.99)
	l.Votes = r.sum("gitaly_praefect_transactions_total")
	l.Waiting = sumOf(f.Figures, "praefect_writes_waiting")
}

// rate is by how much the figures of one instance rose in a second.
type rate []admin.Figure

// ratesOf are the rates of each instance that told twice. An instance that started anew meanwhile
// counts from nothing.
func ratesOf(former *sample, now sample) map[string]rate {
	rates := map[string]rate{}
	if former == nil {
		return rates
	}
	for _, f := range now.instances {
		at := slices.IndexFunc(former.instances, func(b admin.FiguresResponse) bool { return b.Instance == f.Instance })
		if at < 0 {
			continue
		}
		before := former.instances[at]
		seconds := f.Time.Sub(before.Time).Seconds()
		if seconds <= 0 {
			continue
		}
		known := make(map[string]admin.Figure, len(before.Figures))
		for _, b := range before.Figures {
			known[identity(b)] = b
		}
		var r rate
		for _, n := range f.Figures {
			r = append(r, rise(known[identity(n)], n, seconds))
		}
		rates[f.Instance] = r
	}
	return rates
}

// identity tells figures apart.
func identity(f admin.Figure) string {
	labels := make([]string, 0, len(f.Labels))
	for name, value := range f.Labels {
		labels = append(labels, name+"\x00"+value)
	}
	slices.Sort(labels)
	return f.Name + "\x00" + strings.Join(labels, "\x00")
}

// rise is the rate between two values of a figure; the buckets are counts, and no rates.
func rise(before, now admin.Figure, seconds float64) admin.Figure {
	if now.Value < before.Value { // it began anew
		before = admin.Figure{}
	}
	r := admin.Figure{Name: now.Name, Labels: now.Labels, Value: (now.Value - before.Value) / seconds, Sum: (now.Sum - before.Sum) / seconds}
	for i, b := range now.Buckets {
		if i < len(before.Buckets) && before.Buckets[i].Count <= b.Count {
			b.Count -= before.Buckets[i].Count
		}
		r.Buckets = append(r.Buckets, b)
	}
	return r
}

func (r rate) sum(name string, labels ...string) float64 { return sumOf(r, name, labels...) }

// sumOf adds the values of a metric that have the labels, given as names and values in turn.
func sumOf(list []admin.Figure, name string, labels ...string) (sum float64) {
	for _, f := range list {
		has := f.Name == name
		for i := 0; has && i+1 < len(labels); i += 2 {
			has = f.Labels[labels[i]] == labels[i+1]
		}
		if has {
			sum += f.Value
		}
	}
	return sum
}

// quantile is the bound of the bucket that has the quantile of the values observed since; 0 if
// there were none. A value above all buckets gets the bound of the last.
func (r rate) quantile(name string, q float64) float64 {
	counts := map[float64]uint64{}
	total := 0.0
	for _, f := range r {
		if f.Name != name {
			continue
		}
		for _, b := range f.Buckets {
			counts[b.UpTo] += b.Count
			total = max(total, float64(counts[b.UpTo]))
		}
	}
	if total == 0 {
		return 0
	}
	bounds := slices.Sorted(maps.Keys(counts))
	want := uint64(math.Ceil(q * total))
	for _, bound := range bounds {
		if counts[bound] >= want {
			return bound
		}
	}
	return bounds[len(bounds)-1]
}

// busiest are the methods with the most requests at all instances.
func busiest(rates map[string]rate) []topMethod {
	sums := map[string]float64{}
	for _, r := range rates {
		for _, f := range r {
			if f.Name == "grpc_server_handled_total" && f.Value > 0 {
				sums[f.Labels["grpc_method"]] += f.Value
			}
		}
	}
	list := []topMethod{}
	for name, n := range sums {
		list = append(list, topMethod{name, n})
	}
	slices.SortFunc(list, func(a, b topMethod) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), topMethods)]
}
