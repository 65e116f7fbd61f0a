package storage

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestConfig_judge(t *testing.T) {
	cfg, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	timedOut := fmt.Errorf("health check: %w", status.Error(codes.DeadlineExceeded, ""))
	const ms = time.Millisecond
	for _, row := range []struct {
		name                   string
		err                    error
		took, timeout, silence time.Duration
		want                   probeResult
	}{
		{"answered", nil, 3 * ms, 1000 * ms, 0, well},
		{"answered when nobody hoped any more", nil, 900 * ms, 1000 * ms, 0, well},
		{"answered badly", errors.New("NOT_SERVING"), 3 * ms, 1000 * ms, 0, slow},
		{"refused", status.Error(codes.PermissionDenied, ""), 3 * ms, 1000 * ms, 0, slow},
		{"late while something else was heard", timedOut, 1000 * ms, 1000 * ms, 300 * ms, slow},
		{"cut short while something else was heard", timedOut, 200 * ms, 200 * ms, 100 * ms, undecided},
		{"nothing at all", timedOut, 1000 * ms, 1000 * ms, 1500 * ms, silent},
		{"nothing at all, but this process slept", timedOut, 5000 * ms, 1000 * ms, 5500 * ms, late},
	} {
		// Neither the storage nor its host is heard.
		if got := cfg.judge(row.err, row.took, row.timeout, row.silence, cfg.bound(row.silence)); got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
	for silence, want := range map[time.Duration]probeResult{1400 * ms: slow, 1500 * ms: stalled, 4900 * ms: stalled, 5000 * ms: silent} {
		if got := cfg.judge(timedOut, 1000*ms, 1000*ms, silence, cfg.bound(1400*ms)); got != want {
			t.Errorf("the host answers, the storage says nothing for %v: got %v, want %v", silence, got, want)
		}
	}
	if got := cfg.answerTimeout(4800*ms, cfg.Stall); got != 200*ms {
		t.Errorf("answerTimeout after 4.8s, when the host answers: got %v", got)
	}
	for silence, want := range map[time.Duration]time.Duration{
		0:          1000 * ms,
		500 * ms:   1000 * ms,
		1200 * ms:  300 * ms,
		10000 * ms: 150 * ms,
	} {
		if got := cfg.answerTimeout(silence, cfg.Silence); got != want {
			t.Errorf("answerTimeout after %v of silence: got %v, want %v", silence, got, want)
		}
	}
}
