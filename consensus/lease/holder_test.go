package lease_test

import (
	"testing"
	"time"

	"praefect/consensus/lease"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

func TestHolder_countsFromBeforeItAsked(t *testing.T) {
	var h lease.Holder
	if h.Asked() != 0 || h.Lease() != (routing.Lease{}) || h.Lease().Valid(0, 100) {
		t.Error("it begins with a lease")
	}
	first := h.Ask(time.Hour)
	h.Ask(time.Hour + 250*ms)
	if !h.Granted(lease.Grant{For: first, Index: 5, Length: length}) {
		t.Fatal("not taken")
	}
	got := h.Lease()
	if want := time.Hour + length - lease.Margin(length); got.Until != want || got.Index != 5 {
		t.Errorf("got %+v, want until %v", got, want)
	}
	if !got.Valid(got.Until-1, 5) || got.Valid(got.Until, 5) || got.Valid(time.Hour, 4) {
		t.Error("valid until it ends, by the view that it needs")
	}
	if h.Granted(lease.Grant{For: first, Index: 9, Length: length}) || h.Granted(lease.Grant{For: 3, Length: length}) ||
		h.Granted(lease.Grant{}) || h.Lease() != got {
		t.Error("an old answer, or one to a question never asked, changed it")
	}
}

func TestHolder_forgetsOldAsks(t *testing.T) {
	var h lease.Holder
	first := h.Ask(0)
	for range 16 {
		h.Ask(time.Hour)
	}
	if h.Granted(lease.Grant{For: first, Length: length}) {
		t.Error("an ask was taken for a later one")
	}
}

func TestHolder_keepsTheLeaseThatItCanUse(t *testing.T) {
	var h lease.Holder
	h.Granted(lease.Grant{For: h.Ask(0), Index: 5, Length: length})
	short := h.Lease()
	h.Granted(lease.Grant{For: h.Ask(250 * ms), Index: 9, Length: length})
	if got := h.Usable(8); got != short {
		t.Errorf("by view 8: got %+v", got)
	}
	if got := h.Usable(9); got.Until != short.Until+250*ms || got != h.Lease() {
		t.Errorf("by view 9: got %+v", got)
	}
	if got := h.Usable(4); got != h.Lease() {
		t.Errorf("by no view that suffices: got %+v", got)
	}
	// A former leader's view may be older than that of the one before it.
	h.Granted(lease.Grant{For: h.Ask(500 * ms), Index: 5, Length: length})
	if got := h.Usable(5); got != h.Lease() || got.Until != short.Until+500*ms {
		t.Errorf("by view 5: got %+v", got)
	}
	for i := range 100 {
		h.Granted(lease.Grant{For: h.Ask(time.Duration(i+3) * 250 * ms), Index: state.Index(10 + i), Length: length})
	}
	if got := h.Usable(5); got != h.Lease() {
		t.Errorf("after a hundred more: got %+v", got)
	}
}

func TestHolder_givesBack(t *testing.T) {
	var h lease.Holder
	h.Granted(lease.Grant{For: h.Ask(0), Length: length})
	late := h.Ask(250 * ms)
	h.GiveBack()
	if h.Lease() != (routing.Lease{}) || h.Granted(lease.Grant{For: late, Length: length}) || h.Lease().Left(0) != 0 {
		t.Error("the lease is back")
	}
}

func TestNow_rises(t *testing.T) {
	before := lease.Now()
	if after := lease.Now(); before <= 0 || after < before {
		t.Errorf("got %v, then %v", before, after)
	}
}
