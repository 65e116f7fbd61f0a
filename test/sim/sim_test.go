package sim

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"praefect/test/must"
)

// TestRun_keepsThePromises plays as many schedules as there is time for: all of
// them where CI is set.
func TestRun_keepsThePromises(t *testing.T) {
	n := 300
	if os.Getenv("CI") != "" && !must.Race {
		n = 10_000
	}
	began := time.Now()
	cov, err := Batch(t.Context(), 1, n)
	if err != nil {
		t.Fatalf("%v\nlook at it with: make sim SEED=<seed> N=1 TRACE=1", err)
	}
	line, err := json.Marshal(cov)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v: %s", time.Since(began).Round(time.Second), line)
	if err := cov.Enough(); err != nil && n >= 1000 {
		t.Error(err)
	}
}

func TestRun_isDeterministic(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, 5, 35, 68} {
		var traces [2]bytes.Buffer
		for i := range traces {
			if err := Run(seed, &Coverage{}, &traces[i]); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(traces[0].Bytes(), traces[1].Bytes()) {
			t.Errorf("seed %d gives one schedule and then another", seed)
		}
	}
}

func TestCoverage_tooLittleIsNamed(t *testing.T) {
	if err := (&Coverage{Schedules: 1000}).Enough(); err == nil {
		t.Error("1000 schedules in which nothing happened were enough")
	}
}
