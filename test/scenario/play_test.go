package scenario

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// programs are those of this package's tests. Only TestMain sets it.
var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

// TestPlay_onACluster plays once well and once with a fault that fails, on one cluster. The second
// play's error keeps the logs of the cluster.
func TestPlay_onACluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	seeds, err := workload.NewSeeds(ctx, t.TempDir(), 4)
	must.Succeed(t, err)
	options := cluster.Options{Binaries: programs, Disk: seeds.Disk, Settings: workload.EagerRepair}
	logs, broken := filepath.Join(t.TempDir(), "show.log"), errors.New("it does not break")
	err = With(ctx, options, logs, func(c *cluster.Cluster) error {
		last := c.Storages[2]
		var parts []string
		p := Play{
			Cluster: c, VirtualStorage: "default", Paths: seeds.Paths(), Steady: 200 * time.Millisecond, Watch: time.Second,
			Load:  workload.Config{Writers: 2, Readers: 1, Own: seeds.Values()},
			Fault: func(context.Context) error { return last.Kill() },
			Seen:  func(Outcome) { parts = append(parts, "seen") },
			Mend:  func(context.Context) error { return last.Start() },
			Lap:   func(part string) { parts = append(parts, part) },
		}
		o, err := p.Run(ctx)
		must.Succeed(t, err)
		if o.Writes == 0 || o.Reads == 0 || o.Unavailable > 0 {
			t.Errorf("got %+v", o)
		}
		if want := []string{"settle", "steady", "watch", "seen", "mend"}; !slices.Equal(parts, want) {
			t.Errorf("got the parts %q, want %q", parts, want)
		}
		if term, err := Term(ctx, c); err != nil || term == 0 {
			t.Errorf("the term is %d, %v", term, err)
		}
		p.Fault = func(context.Context) error { return broken }
		_, err = p.Run(ctx)
		return err
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), logs) {
		t.Errorf("got %v, want %v and the file of the logs", err, broken)
	}
	if text, err := os.ReadFile(logs); err != nil || !strings.Contains(string(text), "praefect-1") {
		t.Errorf("the logs are %q, %v", text, err)
	}
}

func TestAsk_endsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Term(ctx, &cluster.Cluster{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
}
