package consensus

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"praefect/consensus/setup"
)

// BenchmarkNode_Propose opens and closes intents, with each append synced. One
// operation is one Propose.
func BenchmarkNode_Propose(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			i := begin(b, b.TempDir(), func(c *setup.Config) { c.Logger = slog.New(slog.DiscardHandler) }).ready(b)
			i.must(b, define())
			batches := testutil.ToFloat64(i.proposer.metrics.batches)
			var done atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for c := range callers {
				wg.Go(func() {
					for done.Add(1) <= int64(b.N) {
						if _, err := i.Propose(b.Context(), openIntent(fmt.Sprint(c)), closeIntent(fmt.Sprint(c))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/(testutil.ToFloat64(i.proposer.metrics.batches)-batches), "proposals/batch")
		})
	}
}
