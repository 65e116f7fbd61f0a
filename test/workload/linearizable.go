package workload

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// judgeLimit bounds how long one history is judged.
const judgeLimit = 2 * time.Minute

// Operation is one set or read of a register: a reference that several clients set and read.
type Operation struct {
	Set   bool
	Value string // the commit that was set or read, "" for none
	// Unknown tells that a set may have its effect later, or never.
	Unknown      bool
	Began, Ended time.Time

	client int
}

// Check judges the history of every register, none of which existed at first; see
// Linearizable. The clients have been stopped.
func (r *Registers) Check() error {
	for _, at := range r.registers {
		at.mu.Lock()
		history := at.history
		at.mu.Unlock()
		if err := Linearizable("", history); err != nil {
			return fmt.Errorf("%v: %w", at, err)
		}
	}
	return nil
}

// Linearizable judges the history of a register that had a value before: nil if it could be
// that of a single reference that is set and read at once, somewhere between the begin and
// the end of each operation.
func Linearizable(before string, history []Operation) error {
	if len(history) == 0 {
		return nil
	}
	history = slices.SortedFunc(slices.Values(history), func(a, b Operation) int { return a.Began.Compare(b.Began) })
	began, read := history[0].Began, make(map[string]bool)
	for _, o := range history {
		read[o.Value] = read[o.Value] || !o.Set
	}
	var operations []porcupine.Operation
	for _, o := range history {
		from, to := o.Began.Sub(began).Nanoseconds(), o.Ended.Sub(began).Nanoseconds()
		if o.Unknown {
			if !read[o.Value] {
				continue // it had no effect, or one after all others
			}
			to = 1 << 62 // its effect may be yet to come
		}
		operations = append(operations, porcupine.Operation{ClientId: o.client, Input: o, Output: nil, Call: from, Return: to})
	}
	switch porcupine.CheckOperationsTimeout(model(before), operations, judgeLimit) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("its history of %d operations could not be judged within %v", len(history), judgeLimit)
	}
	return fmt.Errorf("its history is not that of one reference, which led to %s before %s:\n%s",
		cmp.Or(short(before), "nothing"), began.Format(time.StampMilli), tell(history, began))
}

// model is a reference that has a value at first.
func model(before string) porcupine.Model {
	reference := porcupine.NondeterministicModel{
		Init: func() []any { return []any{before} },
		Step: func(state, input, _ any) []any {
			switch o := input.(Operation); {
			case o.Set && o.Unknown:
				return []any{state, o.Value}
			case o.Set:
				return []any{o.Value}
			case o.Value == state:
				return []any{state}
			}
			return nil
		},
	}
	return reference.ToModel()
}

// tell writes a history down.
func tell(history []Operation, began time.Time) string {
	var text strings.Builder
	for _, o := range history {
		what := "read"
		if o.Set {
			what = "set"
		}
		if o.Unknown {
			what = "set, perhaps,"
		}
		fmt.Fprintf(&text, "%8.3f to %8.3f  client %2d %s %s\n",
			o.Began.Sub(began).Seconds(), o.Ended.Sub(began).Seconds(), o.client, what, short(o.Value))
	}
	return text.String()
}

// short is the beginning of an id.
func short(id string) string { return id[:min(8, len(id))] }
