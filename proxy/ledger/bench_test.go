package ledger

import (
	"testing"

	"praefect/fsm/state"
)

// BenchmarkLedger_warmWrite is what a write on a repository with a warm intent costs beside
// its way to the storage and back.
func BenchmarkLedger_warmWrite(b *testing.B) {
	l := New(newNode(b), newSession(), reach{}, config)
	r := request(repository)
	pass := func() {
		w, err := l.Begin(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		if err := w.End(true, true); err != nil {
			b.Fatal(err)
		}
	}
	pass()
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
}

// BenchmarkLedger_reading is what every read costs beside its routing.
func BenchmarkLedger_reading(b *testing.B) {
	l := New(newNode(b), newSession(), reach{}, config)
	b.ReportAllocs()
	for b.Loop() {
		if view, leased := l.Reading(); !leased || view.Entry(state.Key{}) != nil {
			b.Fatal("no lease")
		}
	}
}
