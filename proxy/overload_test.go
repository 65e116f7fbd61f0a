package proxy

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/must"
)

// TestOverload_endsWithTheLoad asks for more writes than storages can do, without waiting
// for answers. What is acknowledged goes on, the rest is refused soon instead of reaching
// its deadline, and when the load has ended a client that repeats its write is served.
func TestOverload_endsWithTheLoad(t *testing.T) {
	t.Run("one repository", func(t *testing.T) { overload(t, 1, 25*time.Millisecond) })
	t.Run("many repositories", func(t *testing.T) { overload(t, 24, 10*time.Millisecond) })
}

func overload(t *testing.T, repositories int, every time.Duration) {
	const (
		deadline = 10 * time.Second
		load     = 12 * time.Second
	)
	k := newKillingFixture(t)
	paths := []string{"a.git"}
	for n := range repositories - 1 {
		paths = append(paths, fmt.Sprintf("b-%d.git", n))
	}
	for _, path := range paths[1:] {
		k.create(path)
		must.Succeed(t, k.commitTo(t.Context(), path, "main", "first"))
	}
	write := func(n int) error {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		return k.writeRef(ctx, paths[n%len(paths)], fmt.Sprintf("refs/heads/write-%d", n), "refs/heads/main")
	}
	var mu sync.Mutex
	ended := make(map[codes.Code]int)
	var writes sync.WaitGroup
	tick := time.NewTicker(every)
	defer tick.Stop()
	begun := 0
	for until := time.Now().Add(load); time.Now().Before(until); begun++ {
		<-tick.C
		n := begun
		writes.Go(func() {
			code := status.Code(write(n))
			mu.Lock()
			defer mu.Unlock()
			ended[code]++
		})
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only a machine without time for it needs as long
	defer cancel()
	for n := begun; ; n++ {
		err := write(n)
		if err == nil {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("no write succeeds after the load: %v", err)
		}
	}
	available := time.Since(start)
	writes.Wait()
	t.Logf("%d writes ended %v; one succeeded %v after the load", begun, ended, available)
	if ended[codes.OK] == 0 || ended[codes.DeadlineExceeded] > begun/4 {
		t.Errorf("%d writes ended %v", begun, ended)
	}
	if locks := k.locks(); len(locks) > 0 {
		t.Errorf("locks are left: %v", locks)
	}
}
