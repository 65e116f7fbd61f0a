package check

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func answering[T any](value T, err error) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return value, err }
}

func failing(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestChecks(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		check Check
		want  string // the error
		ready bool
	}{
		{Migrations(answering(0, nil)), "", true},
		{Migrations(answering(2, nil)), "2 migrations have not been run: run `praefect sql-migrate`", true},
		{Migrations(answering(0, broken)), "broken", true},
		{Storages(failing(nil)), "", true},
		{Storages(failing(broken)), "broken", false},
		{Database(failing(nil)), "", true},
		{Database(failing(broken)), "broken", true},
		{Unavailable(answering(0, nil)), "", true},
		{Unavailable(answering(1, nil)), "1 repository is unavailable: `praefect dataloss` names it", true},
		{Unavailable(answering(3, nil)), "3 repositories are unavailable: `praefect dataloss` names them", true},
		{Unavailable(answering(0, broken)), "broken", true},
	} {
		results := Run(t.Context(), []Check{tc.check}, time.Minute)
		got := ""
		if err := results[0].Err; err != nil {
			got = err.Error()
		}
		if got != tc.want || Ready(results) != tc.ready {
			t.Errorf("%s: got %q, ready %t; want %q, %t", tc.check.Name, got, Ready(results), tc.want, tc.ready)
		}
		if tc.check.Name == "" || tc.check.Description == "" {
			t.Errorf("nameless: %+v", tc.check)
		}
	}
}

// TestRun_bounds: checks that hang take no longer together than one of them.
func TestRun_bounds(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, tc := range []struct{ timeout, want time.Duration }{
		{0, DefaultTimeout},
		{time.Second, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			results := Run(t.Context(), []Check{Storages(hang), Database(hang), Database(failing(nil))}, tc.timeout)
			if took := time.Since(start); took != tc.want {
				t.Errorf("took %v, want %v", took, tc.want)
			}
			if !errors.Is(results[0].Err, context.DeadlineExceeded) || !errors.Is(results[1].Err, context.DeadlineExceeded) || results[2].Err != nil {
				t.Errorf("got %+v", results)
			}
		})
	}
}
