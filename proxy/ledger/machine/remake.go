package machine

import "praefect/fsm/state"

func (m *Machine) remake(e Remake) {
	m.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{Remake: &state.Remake{Key: t.repo.key, Storage: e.Storage, Why: e.Why, AsOf: t.asOf}}
	})
}

func (m *Machine) stepDown(e StepDown) {
	m.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{StepDown: &state.StepDown{Key: t.repo.key, Storage: e.Storage, Why: e.Why, AsOf: t.asOf}}
	})
}
