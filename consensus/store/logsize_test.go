package store

import "testing"

func TestLogSize_measuresBothEnds(t *testing.T) {
	s := newLogSize(1000 * (1000 + perEntry))
	for i := range uint64(2000) {
		s.add(i+1, 1000)
	}
	want := func(entries uint64) {
		t.Helper()
		if got := s.bytes(); got != int64(entries)*(1000+perEntry) {
			t.Errorf("%d bytes, want those of %d entries", got, entries)
		}
	}
	want(2000)
	select {
	case <-s.over:
	default:
		t.Error("no goroutine is told that it has outgrown its limit")
	}
	if got := s.fits(); got > 500 || got == 0 {
		t.Errorf("%d entries fit into half of the limit, want some, at most 500", got)
	}
	s.remove(1, 100)
	want(1900)
	s.remove(1901, 2000)
	want(1800)
	s.add(1901, 1000)
	want(1801)
	s.remove(101, 1901)
	want(0)
	if got := s.fits(); got != 0 {
		t.Errorf("%d entries of none fit", got)
	}
}
