package partition

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// access is one write or read of a register.
type access struct {
	began, ended time.Time
	set          string // the id that was written; empty for a read
	got          string // what was read; empty for nothing
	err          error  // of a write: it may have its effect later, or never
}

// linearizable tells whether a history of a register that led to an id before is
// such that all accesses may have taken place one after the other, each at some
// moment between its begin and its end.
func linearizable(before string, history []access) bool {
	const limit = 30 * time.Second
	seen := make(map[string]bool)
	for _, a := range history {
		seen[a.got] = true
	}
	var operations []porcupine.Operation
	for n, a := range history {
		ended := a.ended.UnixNano()
		if a.err != nil {
			if !seen[a.set] {
				continue // it had no effect, or one after all others
			}
			ended = math.MaxInt64
		}
		operations = append(operations, porcupine.Operation{ClientId: n, Input: a, Call: a.began.UnixNano(), Return: ended})
	}
	model := porcupine.Model{
		Init: func() any { return before },
		Step: func(state, input, _ any) (bool, any) {
			a := input.(access)
			if a.set != "" {
				return true, a.set
			}
			return a.got == state.(string), state
		},
	}
	return porcupine.CheckOperationsTimeout(model, operations, limit) == porcupine.Ok
}

func TestLinearizable_tellsStaleReadsAndLostWrites(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	set := func(began, ended int, id string, err error) access {
		return access{began: at(began), ended: at(ended), set: id, err: err}
	}
	get := func(began, ended int, id string) access { return access{began: at(began), ended: at(ended), got: id} }
	lost := context.DeadlineExceeded
	for name, row := range map[string]struct {
		history []access
		want    bool
	}{
		"reads during a write may see either":       {[]access{set(1, 9, "a", nil), get(2, 3, ""), get(4, 5, "a")}, true},
		"a read after a write sees it":              {[]access{set(1, 2, "a", nil), get(3, 4, "")}, false},
		"what was read is not unread":               {[]access{set(1, 9, "a", nil), get(2, 3, "a"), get(4, 5, "")}, false},
		"a write in doubt may come late":            {[]access{set(1, 2, "a", lost), set(3, 4, "b", nil), get(5, 6, "b"), get(7, 8, "a")}, true},
		"a write in doubt may never come":           {[]access{set(1, 2, "a", lost), get(3, 4, "")}, true},
		"a write in doubt does not come and go":     {[]access{set(1, 2, "a", lost), get(3, 4, "a"), get(5, 6, "")}, false},
		"what nobody wrote is not read":             {[]access{get(1, 2, "a")}, false},
		"an acknowledged write is not taken back":   {[]access{set(1, 2, "a", nil), set(3, 4, "b", nil), get(5, 6, "a")}, false},
		"two writers at once end in some one order": {[]access{set(1, 9, "a", nil), set(1, 9, "b", nil), get(10, 11, "a"), get(12, 13, "a")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := linearizable("", row.history); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}
