package machine

import (
	"slices"

	"praefect/fsm/state"
)

// MarkDoubt has replicas put in doubt that differ from the primary's without a reason in the
// ledger, as of the intent.
type MarkDoubt struct {
	Guard       ID
	Primary     string
	Differences []state.Difference
}

func (MarkDoubt) event() {}

// markDoubt commits the finding of a verification. The intent then closes at once, because the
// repair of the doubt waits for it.
func (ls *locks) markDoubt(e MarkDoubt) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		t.differs = true
		return state.Command{MarkDoubt: &state.MarkDoubt{
			Key: t.repo.key, Primary: e.Primary, Differences: slices.Clone(e.Differences), AsOf: t.asOf,
		}}
	})
}
