package scenario

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	for _, row := range []struct {
		whole, until time.Duration
		lines        int
		last         string
	}{
		{10 * time.Second, time.Second, 0, ""},
		{10 * time.Second, 5 * time.Second, 2, "  show: 4s of 10s, well\n"},
		{30 * time.Minute, 30*time.Minute - time.Second, 59, "  show: 29m30s of 30m0s, well\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			stop := Progress(&out, "show", row.whole, func() string { return ", well" })
			time.Sleep(row.until)
			stop()
			if got := strings.Count(out.String(), "\n"); got != row.lines || !strings.HasSuffix(out.String(), row.last) {
				t.Errorf("%v of %v: got %d lines, want %d that end with %q:\n%s", row.until, row.whole, got, row.lines, row.last, out.String())
			}
		})
	}
}
