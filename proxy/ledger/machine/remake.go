package machine

import "praefect/fsm/state"

func (ls *locks) remake(e Remake) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{Remake: &state.Remake{Key: t.repo.key, Storage: e.Storage, Why: e.Why, AsOf: t.asOf}}
	})
}

func (ls *locks) stepDown(e StepDown) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{StepDown: &state.StepDown{Key: t.repo.key, Storage: e.Storage, Why: e.Why, AsOf: t.asOf}}
	})
}
