package proxy

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"

	"praefect/proxy/stream"
	"praefect/proxy/transaction"
)

// TestClientRequests_areBounded: what a client says of itself makes no more series than the limit.
func TestClientRequests_areBounded(t *testing.T) {
	c := newClientRequests()
	for n := range 2 * maxOrigins {
		c.count(clientCall{origin: origin{clientName: fmt.Sprint(n)}, method: "/s/M", kind: "accessor", scope: "repository"})
	}
	if got := testutil.CollectAndCount(c.total); got != maxOrigins+1 {
		t.Errorf("got %d series, want %d", got, maxOrigins+1)
	}
	other := c.total.WithLabelValues(tooMany, "s", "M", tooMany, "v2", "OK", tooMany, "accessor", "repository")
	if got := testutil.ToFloat64(other); got != maxOrigins {
		t.Errorf("got %v calls of other clients, want %d", got, maxOrigins)
	}
	c.count(clientCall{origin: origin{callSite: strings.Repeat("x", maxWord+1)}, method: "/s/M", kind: "accessor", scope: "repository"})
	if got := testutil.ToFloat64(other); got != maxOrigins+1 {
		t.Errorf("a long word is not counted as another: got %v", got)
	}
}

func TestClientRequests_labels(t *testing.T) {
	c := newClientRequests()
	known := clientCall{
		origin: origin{"gitlab-web", "Repository#exists", "regular"}, method: "/gitaly.RefService/ListRefs", code: codes.NotFound,
		kind: "accessor", scope: "repository",
	}
	for range 3 {
		c.count(known)
	}
	c.count(clientCall{method: exemptMethod, kind: "intercepted", scope: "none", exempt: true})
	for _, row := range []struct {
		labels []string
		want   float64
	}{
		{[]string{"gitlab-web", "gitaly.RefService", "ListRefs", "Repository#exists", "v2", "NotFound", "regular", "accessor", "repository"}, 3},
		{[]string{"unknown", "grpc.health.v1.Health", "Check", "unknown", "unknown", "OK", "unknown", "intercepted", "none"}, 1},
	} {
		if got := testutil.ToFloat64(c.total.WithLabelValues(row.labels...)); got != row.want {
			t.Errorf("%q: got %v, want %v", row.labels, got, row.want)
		}
	}
	if got := testing.AllocsPerRun(100, func() { c.count(known) }); got > 0 {
		t.Errorf("%v allocations for a call that was counted before", got)
	}
}

func TestReplicasOfVote(t *testing.T) {
	well, badly := stream.Outcome{Ended: true}, stream.Outcome{Ended: true, Err: errors.New("refused")}
	for name, c := range map[string]struct {
		total, destinations int
		names, agreeing     []string
		voted               bool
		others              []stream.Outcome
		want                replicas
	}{
		"all agree":                   {3, 3, []string{"a", "b", "c"}, []string{"a", "b", "c"}, true, []stream.Outcome{well, well}, replicas{updated: 2}},
		"one is out":                  {3, 2, []string{"a", "b"}, []string{"a", "b"}, true, []stream.Outcome{well}, replicas{updated: 1, outdated: 1}},
		"one was never reached":       {3, 3, []string{"a", "b"}, []string{"a", "b"}, true, []stream.Outcome{well}, replicas{updated: 1, otherStatus: 1}},
		"one voted otherwise":         {2, 2, []string{"a", "b"}, []string{"a"}, true, []stream.Outcome{well}, replicas{notCommitted: 1}},
		"one ended otherwise":         {2, 2, []string{"a", "b"}, []string{"a"}, true, []stream.Outcome{badly}, replicas{otherStatus: 1}},
		"one was lost on the way":     {2, 2, []string{"a", "b"}, []string{"a"}, true, []stream.Outcome{{}}, replicas{otherStatus: 1}},
		"no storage voted, one erred": {3, 3, []string{"a", "b", "c"}, []string{"a"}, false, []stream.Outcome{well, badly}, replicas{noVotes: 1, otherStatus: 1}},
	} {
		got := replicasOfVote(c.total, c.destinations, c.names, c.agreeing, transaction.Result{Voted: c.voted}, stream.Outcome{Ended: true, Others: c.others})
		maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
