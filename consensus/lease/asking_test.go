package lease_test

import (
	"testing"
	"time"

	"praefect/consensus/lease"
)

// An instance asks with its answer to a question, or by itself a little later; in calm later, but
// while more than half of its lease is left.
func TestAsking(t *testing.T) {
	for _, calm := range []bool{false, true} {
		var leader, follower lease.Asking
		if !leader.Due(time.Hour, 0) {
			t.Fatal("the first ask is not due")
		}
		leader.Asked(time.Hour, 4, length, true, calm)
		follower.Asked(time.Hour, 4, length, false, calm)
		at := leader.Next()
		if follower.Due(at, 4) || !follower.Due(at, 5) || !leader.Due(at, 4) || leader.Due(at-1, 4) {
			t.Errorf("calm %v: the leader is not the first to ask", calm)
		}
		if left := time.Hour + length - lease.Margin(length) - follower.Next(); left <= length/2-lease.Margin(length) || calm != (at > time.Hour+length/4) {
			t.Errorf("calm %v: asks at %v, and %v of the lease is left at the latest", calm, at-time.Hour, left)
		}
	}
}
