package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// journal notes what parts do, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// part is one that takes a second to be ready and a second to end.
func (j *journal) part(name string) part {
	return part{
		name: name,
		run: func(ctx context.Context) error {
			j.note("start " + name)
			<-ctx.Done()
			time.Sleep(time.Second)
			j.note("end " + name)
			return ctx.Err()
		},
		ready: func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
}

func TestRunAll_startsInOrderAndStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := runAll(ctx, slog.New(slog.DiscardHandler), []part{j.part("a"), j.part("b"), j.part("c")}); err != nil {
			t.Error(err)
		}
		want := []string{"start a", "start b", "start c", "end c", "end b", "end a"}
		if !slices.Equal(j.lines, want) {
			t.Errorf("got %v, want %v", j.lines, want)
		}
	})
}

func TestRunAll_endsWithAPartThatEnds(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, row := range []struct {
		name string
		part part
		want error
	}{
		{"with an error", part{name: "b", run: func(context.Context) error { return broken }}, broken},
		{"without one", part{name: "b", run: func(context.Context) error { return nil }}, errEnded},
		{"never ready", part{
			name:  "b",
			run:   func(ctx context.Context) error { <-ctx.Done(); return nil },
			ready: func(context.Context) error { return broken },
		}, broken},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				err := runAll(t.Context(), slog.New(slog.DiscardHandler), []part{j.part("a"), row.part, j.part("c")})
				if !errors.Is(err, row.want) {
					t.Errorf("got %v, want %v", err, row.want)
				}
				if last := j.lines[len(j.lines)-1]; last != "end a" {
					t.Errorf("the other parts were not stopped in order: %v", j.lines)
				}
			})
		})
	}
}

func TestRunAll_stopsWhileItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := runAll(ctx, slog.New(slog.DiscardHandler), []part{j.part("a"), j.part("b"), j.part("c")}); err != nil {
			t.Error(err)
		}
		if want := []string{"start a", "start b", "end b", "end a"}; !slices.Equal(j.lines, want) {
			t.Errorf("got %v, want %v", j.lines, want)
		}
	})
}
