package workload

import (
	"fmt"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// judgeLimit bounds how long one history is judged.
const judgeLimit = 2 * time.Minute

// Check judges the history of every register: nil if each could be that of a single
// reference that is set and read at once, somewhere between the begin and the end of
// each operation. A set that failed may have its effect at any time, or never. The
// clients have been stopped.
func (r *Registers) Check() error {
	for _, at := range r.registers {
		at.mu.Lock()
		history := at.history
		at.mu.Unlock()
		if err := judge(history, r.began); err != nil {
			return fmt.Errorf("%v: %w", at, err)
		}
	}
	return nil
}

// judge looks at the history of one register, whose times are after began.
func judge(history []operation, began time.Time) error {
	var operations []porcupine.Operation
	for _, o := range history {
		from, to := o.began.Sub(began).Nanoseconds(), o.ended.Sub(began).Nanoseconds()
		if o.unknown {
			to = 1 << 62 // its effect may be yet to come
		}
		operations = append(operations, porcupine.Operation{ClientId: o.client, Input: o, Output: nil, Call: from, Return: to})
	}
	switch porcupine.CheckOperationsTimeout(model(), operations, judgeLimit) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("its history of %d operations could not be judged within %v", len(history), judgeLimit)
	}
	return fmt.Errorf("its history is not that of one reference:\n%s", tell(history, began))
}

// model is a reference that does not exist at first.
func model() porcupine.Model {
	reference := porcupine.NondeterministicModel{
		Init: func() []any { return []any{""} },
		Step: func(state, input, _ any) []any {
			switch o := input.(operation); {
			case o.set && o.unknown:
				return []any{state, o.value}
			case o.set:
				return []any{o.value}
			case o.value == state:
				return []any{state}
			}
			return nil
		},
	}
	return reference.ToModel()
}

// tell writes a history down, in the order in which its operations ended.
func tell(history []operation, began time.Time) string {
	const short = 8
	var text strings.Builder
	for _, o := range history {
		what, value := "read", o.value[:min(short, len(o.value))]
		if o.set {
			what = "set"
		}
		if o.unknown {
			what = "set, perhaps,"
		}
		fmt.Fprintf(&text, "%8.3f to %8.3f  client %2d %s %s\n",
			o.began.Sub(began).Seconds(), o.ended.Sub(began).Seconds(), o.client, what, value)
	}
	return text.String()
}
