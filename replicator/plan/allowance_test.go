package plan

import (
	"testing"
	"time"
)

func TestCopying_allow(t *testing.T) {
	base := Copying{Floor: 30 * time.Second, Rate: 4 << 20, Most: time.Hour}
	const gib = 1 << 30
	for _, row := range []struct {
		name   string
		change func(*Copying)
		want   Allowance
	}{
		{"empty", func(*Copying) {}, Allowance{30 * time.Second, 30 * time.Second, 0}},
		{"small", func(c *Copying) { c.Size = 1 << 30 }, Allowance{286 * time.Second, 286 * time.Second, 0}},
		{"small, timed out", func(c *Copying) { c.Size, c.Timeouts = gib, 1 }, Allowance{CopyLongest, CallerGone, 286 * time.Second}},
		{"again", func(c *Copying) { c.Size, c.Timeouts = gib, 3 }, Allowance{CopyLongest, CallerGone, 4 * 286 * time.Second}},
		{"again and again", func(c *Copying) { c.Timeouts = 1000 }, Allowance{CopyLongest, CallerGone, 32 * 30 * time.Second}},
		{"of 70 minutes", func(c *Copying) { c.Size = 17 * gib }, Allowance{CopyLongest, CallerGone, time.Hour}},
		{"of 70 minutes, out of sight", func(c *Copying) { c.Size, c.Fresh = 17*gib, true }, Allowance{CopyLongest, CallerGone, 4382 * time.Second}},
		{"impatient", func(c *Copying) { c.Most = 4 * time.Second }, Allowance{4 * time.Second, 4 * time.Second, 0}},
		{"impatient, timed out", func(c *Copying) { c.Most, c.Timeouts = 4*time.Second, 2 }, Allowance{16 * time.Second, 16 * time.Second, 0}},
		{"impatient, again and again", func(c *Copying) { c.Most, c.Timeouts = 4*time.Second, 1000 }, Allowance{128 * time.Second, 128 * time.Second, 0}},
		{"empty, timed out", func(c *Copying) { c.Timeouts = 3 }, Allowance{4 * time.Minute, 4 * time.Minute, 0}},
		{"empty, timed out again", func(c *Copying) { c.Timeouts = 4 }, Allowance{CopyLongest, CallerGone, 4 * time.Minute}},
		{"impatient, large", func(c *Copying) { c.Size, c.Most = 17*gib, time.Minute }, Allowance{CopyLongest, CallerGone, time.Minute}},
	} {
		c := base
		row.change(&c)
		if got := c.Allow(); got != row.want {
			t.Errorf("%s: got %+v, want %+v", row.name, got, row.want)
		}
	}
}

func TestProgress(t *testing.T) {
	var p Progress
	p.Begin(time.Hour)
	for _, row := range []struct {
		minute  time.Duration
		size    int64 // -1: the storage does not tell
		stalled bool
	}{
		{0, 5, false},
		{9, 6, false},
		{18, 6, false},
		{20, 6, true},
		{21, 5, false}, // whichever way it changes
		{30, -1, false},
		{32, -1, true},
		{33, 5, true},
		{34, 7, false},
	} {
		now := time.Hour + row.minute*time.Minute
		if row.size >= 0 {
			p.Note(now, row.size)
		}
		if got := p.Stalled(now, 10*time.Minute); got != row.stalled {
			t.Errorf("minute %d: %v", row.minute, got)
		}
	}
}
