package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// A call that began in an outage and ends after it is no new outage.
func TestAvailability_lateFailuresAreNoNews(t *testing.T) {
	log := new(lines)
	a := newAvailability(slog.New(log))
	began := time.Now()
	a.note(began, nil)
	a.note(time.Now(), errors.New("away"))
	a.note(time.Now(), nil)
	a.note(began, errors.New("timed out"))
	if diff := cmp.Diff([]string{"postgres is unavailable: repair waits, requests go on", "postgres is available again"}, log.messages()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !a.available() || a.away() != "" {
		t.Errorf("available is %v, away %q", a.available(), a.away())
	}
}

func TestAvailability_logsChangesOnce(t *testing.T) {
	const down, up = "postgres is unavailable: repair waits, requests go on", "postgres is available again"
	away := errors.New("away")
	early := fmt.Errorf("enqueue: %w", &pq.Error{Code: pqerror.UndefinedTable})
	tables := errors.New("the tables are there")
	for name, row := range map[string]struct {
		calls []error
		want  []string
	}{
		"always there":       {[]error{nil, nil}, nil},
		"never there":        {[]error{away, away}, []string{down}},
		"comes late":         {[]error{away, away, nil, nil}, []string{down, up}},
		"goes and returns":   {[]error{nil, away, away, nil}, []string{down, up}},
		"goes for good":      {[]error{nil, away, nil, away, away}, []string{down, up, down}},
		"asked too early":    {[]error{early, early, nil}, nil},
		"loses its schema":   {[]error{nil, tables, early, nil}, []string{down, up}},
		"comes without it":   {[]error{away, nil, early, early, nil}, []string{down, up}},
		"not asked to speak": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(lines)
			a := newAvailability(slog.New(log))
			for _, err := range row.calls {
				if err == tables {
					a.hasTables()
					continue
				}
				a.note(time.Now(), err)
			}
			if diff := cmp.Diff(row.want, log.messages()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if want := len(row.calls) > 0 && row.calls[len(row.calls)-1] == nil; a.available() != want {
				t.Errorf("available is %v, want %v", a.available(), want)
			}
		})
	}
}
