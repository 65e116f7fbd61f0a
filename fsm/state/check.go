package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Check returns the first of the invariants I1 to I8 that the state breaks, nil if
// it is sound. Apply keeps all of them; tests ask after each one, and a snapshot
// that breaks one is not restored.
func (s *State) Check() error {
	if err := s.checkInstances(); err != nil {
		return err
	}
	if !rising(s.VirtualStorages, func(v VirtualStorage) string { return v.Name }) {
		return errors.New("virtual storages are not sorted")
	}
	for i := range s.VirtualStorages {
		if err := s.VirtualStorages[i].check(s.Index); err != nil {
			return fmt.Errorf("virtual storage %q: %w", s.VirtualStorages[i].Name, err)
		}
	}
	var err error
	s.Each("", func(k Key, e *Entry) bool {
		if err = s.checkEntry(k, e); err != nil {
			err = fmt.Errorf("entry %q in %q: %w", k.RelativePath, k.VirtualStorage, err)
		}
		return err == nil
	})
	return err
}

// checkInstances checks I1 to I3.
func (s *State) checkInstances() error {
	if why := badLease(s.LeaseMillis); why != "" {
		return errors.New(why)
	}
	if len(s.Instances) > 0 && s.ClusterID == "" {
		return errors.New("instances, but no cluster id")
	}
	if !rising(s.Instances, func(in Instance) Incarnation { return in.Incarnation }) {
		return errors.New("instances are not sorted")
	}
	if len(s.InstanceHistory) > HistoryLength || !slices.IsSortedFunc(s.InstanceHistory, func(a, b Change) int { return cmp.Compare(a.Index, b.Index) }) {
		return errors.New("the history of the instances goes back or has no end")
	}
	if s.Level < 0 {
		return fmt.Errorf("feature level %d", s.Level)
	}
	if err := s.checkLosses(); err != nil {
		return err
	}
	for _, in := range s.Instances {
		if in.FeatureLevel() < s.FeatureLevel() {
			return fmt.Errorf("incarnation %d knows feature level %d, the state is at %d", in.Incarnation, in.FeatureLevel(), s.FeatureLevel())
		}
		if in.Incarnation == 0 || Index(in.Incarnation) > s.Index || in.ID == "" {
			return fmt.Errorf("instance %q of incarnation %d at index %d", in.ID, in.Incarnation, s.Index)
		}
	}
	return nil
}

// check checks I1, I2 and I4, and the storages.
func (v *VirtualStorage) check(index Index) error {
	switch {
	case badName("name", v.Name) != "":
		return errors.New(badName("name", v.Name))
	case v.Epoch == 0:
		return errors.New("no epoch")
	case !v.ServesBeside():
		return errors.New("no storage serves")
	case len(v.History) > HistoryLength:
		return fmt.Errorf("history of %d lines", len(v.History))
	}
	if why := badNames("storage", v.names(func(*Storage) bool { return true })); why != "" {
		return errors.New(why)
	}
	for _, s := range v.Succession {
		if err := s.check(index, v.Epoch); err != nil {
			return fmt.Errorf("storage %q: %w", s.Name, err)
		}
	}
	last := Change{}
	for _, c := range v.History {
		if c.Index < last.Index || c.Index > index || c.Epoch < last.Epoch || c.Epoch > v.Epoch {
			return fmt.Errorf("history goes back at index %d", c.Index)
		}
		last = c
	}
	return nil
}

// check checks I2 and I5.
func (s *Storage) check(index Index, epoch uint64) error {
	whys := []string{""}
	switch s.State {
	case Serving, Backfilling:
	case Fenced:
		whys = []string{WhyDead, WhyDrained, WhySwitchover}
	case Out:
		whys = []string{WhyDead, WhyDrained}
	default:
		return fmt.Errorf("no state %q", s.State)
	}
	switch {
	case !slices.Contains(whys, s.Why):
		return fmt.Errorf("%s because %q", s.State, s.Why)
	case s.State == Fenced && s.FencedEpoch == 0:
		return errors.New("fenced at no epoch")
	case s.Uncompared != "" && (s.State != Backfilling || s.Uncompared != UncomparedFounding && s.Uncompared != UncomparedLater):
		return fmt.Errorf("%s, and uncompared as %q", s.State, s.Uncompared)
	case s.New && s.holds():
		return fmt.Errorf("%s, but never served", s.State)
	case s.Since == 0 || s.Since > index:
		return fmt.Errorf("%s since index %d of %d", s.State, s.Since, index)
	case s.FencedEpoch > epoch:
		return fmt.Errorf("fenced at epoch %d of %d", s.FencedEpoch, epoch)
	}
	return nil
}

// checkEntry checks I1, I2 and I6, and the intents.
func (s *State) checkEntry(k Key, e *Entry) error {
	vs := s.VirtualStorage(k.VirtualStorage)
	switch {
	case k.bad() != "":
		return errors.New(k.bad())
	case vs == nil:
		return errors.New("of no virtual storage")
	case e.isEmpty():
		return errors.New("is empty")
	case e.Changed == 0 || e.Changed > s.Index:
		return fmt.Errorf("changed at index %d of %d", e.Changed, s.Index)
	case !rising(e.Intents, func(m Intent) Incarnation { return m.Incarnation }):
		return errors.New("intents are not sorted")
	}
	if err := vs.checkSet(e.Behind); err != nil {
		return fmt.Errorf("behind: %w", err)
	}
	if err := e.checkConflicts(); err != nil {
		return err
	}
	if err := s.checkWish(e); err != nil {
		return err
	}
	if why := badText("the source of the advance", e.Advancing); why != "" {
		return errors.New(why)
	}
	for _, m := range e.Intents {
		if err := s.checkIntent(e, &m); err != nil {
			return fmt.Errorf("intent of incarnation %d: %w", m.Incarnation, err)
		}
	}
	return nil
}

// checkIntent checks I6 to I8.
func (s *State) checkIntent(e *Entry, m *Intent) error {
	switch m.Kind {
	case Open, PrimaryOnly:
		if s.Instance(m.Incarnation) == nil {
			return errors.New("is live, but the incarnation is not")
		}
	case "":
		if m.InDoubt == nil {
			return errors.New("neither live nor in doubt")
		}
		if m.BoundMillis != 0 || m.RefsOnly || len(m.Targets) != 0 {
			return errors.New("has a scope, but is not live")
		}
	default:
		return fmt.Errorf("no kind %q", m.Kind)
	}
	scopes := []Scope{m.Scope}
	if m.InDoubt != nil {
		if m.InDoubt.At == 0 || m.InDoubt.At > e.Changed {
			return fmt.Errorf("in doubt since index %d, after the last change", m.InDoubt.At)
		}
		scopes = append(scopes, m.InDoubt.Scope)
	}
	for _, scope := range scopes {
		if scope.BoundMillis < 0 {
			return errors.New("negative bound")
		}
		switch why := badNames("target", scope.Targets); { // one may have been removed since
		case why != "":
			return errors.New(why)
		case !slices.IsSorted(scope.Targets):
			return fmt.Errorf("targets: %q is not sorted", scope.Targets)
		}
	}
	return nil
}

// checkSet checks a sorted set of storages.
func (v *VirtualStorage) checkSet(set []string) error {
	if !rising(set, func(s string) string { return s }) {
		return fmt.Errorf("%q is not sorted", set)
	}
	for _, name := range set {
		if v.Storage(name) == nil {
			return fmt.Errorf("no storage %q", name)
		}
	}
	return nil
}

// rising reports whether the keys rise, without duplicates.
func rising[T any, K cmp.Ordered](list []T, key func(T) K) bool {
	for i := 1; i < len(list); i++ {
		if key(list[i-1]) >= key(list[i]) {
			return false
		}
	}
	return true
}
