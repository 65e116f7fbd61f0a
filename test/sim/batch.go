package sim

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Batch plays the schedules of n seeds from first on, as many at a time as there
// are processors, and ends at the first that breaks a promise, or with ctx.
func Batch(ctx context.Context, first uint64, n int) (Coverage, error) {
	// A schedule makes much garbage and keeps little: to collect it as often as a
	// service should takes a fifth of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var (
		total  Coverage
		broken error
		mu     sync.Mutex // guards both
		next   atomic.Int64
		work   sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			var cov Coverage
			var err error
			for ctx.Err() == nil && err == nil {
				i := next.Add(1) - 1
				if i >= int64(n) {
					break
				}
				err = Run(first+uint64(i), &cov, nil)
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(&cov)
			if err != nil {
				broken = errors.Join(broken, err)
				cancel()
			}
		})
	}
	work.Wait()
	return total, broken
}

// add adds every count.
func (c *Coverage) add(o *Coverage) {
	to, from := reflect.ValueOf(c).Elem(), reflect.ValueOf(o).Elem()
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// Enough returns an error that names the events of which the schedules saw too few: each
// count must have come to at least one in so many schedules.
func (c *Coverage) Enough() error {
	var missing []string
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		one := 1
		if rare, ok := rare[name]; ok {
			one = rare
		}
		if want := c.Schedules / one; v.Field(i).Int() < int64(max(want, 1)) {
			missing = append(missing, fmt.Sprintf("%s: %d, at least %d", name, v.Field(i).Int(), max(want, 1)))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("%d schedules saw too little of %s", c.Schedules, strings.Join(missing, "; "))
}
