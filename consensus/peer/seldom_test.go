package peer

import (
	"fmt"
	"testing"
	"time"
)

func TestSeldom_admitsOnceAMinute(t *testing.T) {
	var s Seldom
	start := time.Unix(0, 0)
	for _, tc := range []struct {
		after    time.Duration
		key      string
		dropped  int
		admitted bool
	}{
		{0, "a", 0, true},
		{time.Second, "a", 0, false},
		{time.Second, "b", 0, true},
		{59 * time.Second, "a", 0, false},
		{time.Minute, "a", 2, true},
		{61 * time.Second, "a", 0, false},
		{2 * time.Minute, "a", 1, true},
	} {
		dropped, admitted := s.Admit(tc.key, start.Add(tc.after))
		if dropped != tc.dropped || admitted != tc.admitted {
			t.Errorf("%q after %v: got %d, %v, want %d, %v", tc.key, tc.after, dropped, admitted, tc.dropped, tc.admitted)
		}
	}
}

func TestSeldom_forgets(t *testing.T) {
	var s Seldom
	for i := range 10 * seldomKeys {
		s.Admit(fmt.Sprint(i), time.Unix(0, 0))
	}
	if len(s.lines) > seldomKeys {
		t.Errorf("remembers %d lines, the limit is %d", len(s.lines), seldomKeys)
	}
}
