package state

import (
	"slices"

	"pgregory.net/rapid"
)

// drawPath draws the path of a repository, rather one that fits.
func (h *history) drawPath(t *rapid.T, fits func(*Entry) bool) string {
	fitting := slices.DeleteFunc(slices.Clone(allPaths), func(p string) bool { return !fits(h.state.Entry(Key{vs, p})) })
	if len(fitting) > 0 && rapid.IntRange(0, 9).Draw(t, "fits") < 9 {
		return rapid.SampledFrom(fitting).Draw(t, "path")
	}
	return rapid.SampledFrom(allPaths).Draw(t, "path")
}

// die draws one of 2^bits numbers, each as often: rapid's own ranges prefer small
// ones.
func die(t *rapid.T, bits int, label string) int {
	n := 0
	for range bits {
		n <<= 1
		if rapid.Bool().Draw(t, label) {
			n++
		}
	}
	return n
}

// drawCommand draws a command of the incarnation, often one that can be applied.
func (h *history) drawCommand(t *rapid.T, by Incarnation) Command {
	all := []struct {
		weight int // of 64
		draw   func(*rapid.T, Incarnation) Command
	}{
		{6, h.drawOpen},
		{1, func(t *rapid.T, _ Incarnation) Command {
			return Command{Record: &Record{What: rapid.SampledFrom([]string{ChangeAdded, ChangeRemoved}).Draw(t, "what"), Instance: "two"}}
		}},
		{6, h.drawMarkBehind},
		{6, h.drawMarkInSync},
		{4, h.drawResolveDoubt},
		{5, h.drawClose},
		{4, h.drawRejoin},
		{4, h.drawFence},
		{4, h.drawAdmit},
		{2, h.drawAcceptLoss},
		{1, func(t *rapid.T, _ Incarnation) Command { return define(drawStorages(t)...) }},
		{1, func(*rapid.T, Incarnation) Command {
			return Command{Define: &Define{VirtualStorage: "other", Storages: []string{"p"}}}
		}},
		{1, func(*rapid.T, Incarnation) Command {
			return Command{RemoveVirtualStorage: &RemoveVirtualStorage{VirtualStorage: "other", Epoch: 1}}
		}},
		{1, func(t *rapid.T, _ Incarnation) Command {
			id, level := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id"), rapid.SampledFrom([]int{1, 2, 2, 3}).Draw(t, "level")
			return Command{Register: &Register{ID: id, Level: level}}
		}},
		{2, h.drawRetire},
		{2, h.drawDrain},
		{1, func(t *rapid.T, by Incarnation) Command {
			if rapid.Bool().Draw(t, "raise") {
				return Command{Raise: &Raise{Level: rapid.IntRange(2, 3).Draw(t, "level")}}
			}
			return h.drawPause(t, by)
		}},
		{4, h.drawFirstCopy},
		{3, h.drawMarkDoubt},
		{3, h.drawRemake},
		{3, h.drawWish},
	}
	n := die(t, 6, "command")
	for _, c := range all {
		if n -= c.weight; n < 0 {
			return c.draw(t, by)
		}
	}
	panic("the weights do not add up")
}

func drawStorages(t *rapid.T) []string {
	return rapid.SliceOfDistinct(rapid.SampledFrom(allStorages), rapid.ID[string]).Draw(t, "storages")
}

func drawStorage(t *rapid.T) string { return rapid.SampledFrom(allStorages).Draw(t, "storage") }

// drawAsOf draws an index that is mostly the present one.
func (h *history) drawAsOf(t *rapid.T) Index {
	return h.state.Index - min(h.state.Index, Index(max(0, rapid.IntRange(0, 9).Draw(t, "ago")-7)))
}

// drawPrimary draws mostly the primary of the repository.
func (h *history) drawPrimary(t *rapid.T, path string) string {
	if p, ok := h.state.PrimaryOf(Key{vs, path}); ok && rapid.IntRange(0, 9).Draw(t, "right") < 9 {
		return p.Name
	}
	return drawStorage(t)
}

func (h *history) drawWithIntent(t *rapid.T, by Incarnation) string {
	return h.drawPath(t, func(e *Entry) bool { return e.Live(by) != nil })
}

func (h *history) drawOpen(t *rapid.T, _ Incarnation) Command {
	v := h.state.VirtualStorage(vs)
	return Command{Open: &OpenIntent{
		VirtualStorage: vs,
		Paths:          rapid.SliceOfNDistinct(rapid.SampledFrom(allPaths), 1, 2, rapid.ID[string]).Draw(t, "paths"),
		Kind:           rapid.SampledFrom([]IntentKind{Open, PrimaryOnly}).Draw(t, "kind"),
		Scope: Scope{
			BoundMillis: rapid.Int64Range(0, 9).Draw(t, "bound"),
			RefsOnly:    rapid.Bool().Draw(t, "refs"),
			Targets:     slices.DeleteFunc(drawStorages(t), func(s string) bool { return v.Storage(s) == nil }),
		},
	}}
}

func (h *history) drawMarkBehind(t *rapid.T, by Incarnation) Command {
	path := h.drawWithIntent(t, by)
	primary := h.drawPrimary(t, path)
	return Command{MarkBehind: &MarkBehind{
		VirtualStorage: vs, Paths: []string{path}, Primary: primary,
		Epoch:    h.state.VirtualStorage(vs).Epoch - uint64(rapid.IntRange(0, 1).Draw(t, "late")),
		Agreeing: union(drawStorages(t), []string{primary}),
		Deleted:  rapid.SampledFrom([]DeletedChange{DeletedKeep, DeletedSet, DeletedClear}).Draw(t, "deleted"),
	}}
}

func (h *history) drawMarkInSync(t *rapid.T, by Incarnation) Command {
	c := &MarkInSync{Key: Key{vs, h.drawWithIntent(t, by)}, AsOf: h.drawAsOf(t)}
	if e := h.state.Entry(c.Key); e != nil && len(e.Behind) > 0 && rapid.Bool().Draw(t, "all") {
		c.Storages = e.Behind
	} else {
		c.Storages = drawStorages(t)
	}
	return Command{MarkInSync: c}
}

func (h *history) drawClose(t *rapid.T, by Incarnation) Command {
	return Command{Close: &CloseIntent{
		VirtualStorage: vs, Paths: []string{h.drawWithIntent(t, by)}, InDoubt: rapid.Bool().Draw(t, "in doubt"),
	}}
}

func (h *history) drawAcceptLoss(t *rapid.T, _ Incarnation) Command {
	c := &AcceptLoss{
		Key:     Key{vs, h.drawPath(t, func(e *Entry) bool { return e != nil && !e.HasLive() })},
		Storage: drawStorage(t),
	}
	if e := h.state.Entry(c.Key); e != nil && rapid.Bool().Draw(t, "ended") {
		for _, m := range e.Intents {
			if m.InDoubt != nil {
				c.Ended = append(c.Ended, DoubtRef{m.Incarnation, m.InDoubt.At})
			}
		}
	}
	return Command{AcceptLoss: c}
}

func (h *history) drawDrain(t *rapid.T, _ Incarnation) Command {
	name := drawStorage(t)
	if out := h.state.VirtualStorage(vs).names(func(s *Storage) bool { return s.State == Out }); len(out) > 0 {
		name = rapid.SampledFrom(out).Draw(t, "out")
	}
	if rapid.IntRange(0, 3).Draw(t, "refill") == 0 {
		return Command{Refill: &Refill{VirtualStorage: vs, Storage: name}}
	}
	if s := h.state.VirtualStorage(vs).Storage(name); s != nil && s.Why == WhyDrained {
		return Command{Undrain: &Undrain{VirtualStorage: vs, Storage: name}}
	}
	return Command{Drain: &Drain{VirtualStorage: vs, Storage: name}}
}

func (h *history) drawPause(t *rapid.T, _ Incarnation) Command {
	name := rapid.SampledFrom([]string{"", vs}).Draw(t, "virtual storage")
	if rapid.Bool().Draw(t, "pause") {
		return Command{Pause: &Pause{VirtualStorage: name, Until: rapid.Int64Range(0, 9).Draw(t, "until")}}
	}
	return Command{Resume: &Resume{VirtualStorage: name}}
}

func (h *history) drawRetire(t *rapid.T, _ Incarnation) Command {
	c := &Retire{
		Incarnation: rapid.SampledFrom(h.lives).Draw(t, "inc"),
		Proof:       rapid.SampledFrom([]Proof{ProofSuccessor, ProofSuccessor, ProofRefused, ProofSilent}).Draw(t, "proof"),
	}
	if c.Proof == ProofSuccessor {
		c.Successor = rapid.SampledFrom(h.lives).Draw(t, "successor")
	}
	return Command{Retire: c}
}

// drawEpoch draws the present epoch, or rarely the one before.
func (h *history) drawEpoch(t *rapid.T) uint64 {
	epoch := h.state.VirtualStorage(vs).Epoch
	if rapid.IntRange(0, 9).Draw(t, "late") == 9 {
		epoch--
	}
	return epoch
}

func (h *history) drawFence(t *rapid.T, _ Incarnation) Command {
	v, storages := h.state.VirtualStorage(vs), drawStorages(t)
	if rapid.IntRange(0, 9).Draw(t, "right") < 9 {
		serving := v.names(func(s *Storage) bool { return s.State == Serving })
		storages = serving[:rapid.IntRange(1, max(1, len(serving)-1)).Draw(t, "number")]
	}
	return Command{Fence: &Fence{
		VirtualStorage: vs, Storages: storages, Epoch: h.drawEpoch(t),
		Why: rapid.SampledFrom([]string{WhyDead, WhyDrained, WhySwitchover}).Draw(t, "why"),
	}}
}

func (h *history) drawAdmit(t *rapid.T, _ Incarnation) Command {
	v, storages := h.state.VirtualStorage(vs), drawStorages(t)
	if fenced := v.names(func(s *Storage) bool { return s.State == Fenced }); len(fenced) > 0 {
		storages = rapid.Permutation(fenced).Draw(t, "fenced")
	}
	c := &Admit{VirtualStorage: vs, Epoch: h.drawEpoch(t)}
	for _, name := range storages {
		a := Admission{Storage: name, As: Out, Why: rapid.SampledFrom([]string{WhyDead, WhyDead, WhyDrained}).Draw(t, "why")}
		if rapid.Bool().Draw(t, "serving") {
			a = Admission{Storage: name, As: Serving, FilesystemID: drawDisk(t, name)}
			if s := v.Storage(name); s != nil && s.FilesystemID != "" && rapid.IntRange(0, 2).Draw(t, "same") < 2 {
				a.FilesystemID = s.FilesystemID
			}
		}
		c.Storages = append(c.Storages, a)
	}
	return Command{Admit: c}
}

func (h *history) drawResolveDoubt(t *rapid.T, by Incarnation) Command {
	c := &ResolveDoubt{Key: Key{vs, h.drawPath(t, func(e *Entry) bool { return e.Live(by) != nil && e.HasDoubt() })}}
	e := h.state.Entry(c.Key)
	if e.Live(by) != nil && !e.HasDoubt() {
		return Command{Close: &CloseIntent{VirtualStorage: vs, Paths: []string{c.RelativePath}, InDoubt: true}}
	}
	c.Authority, c.Equal, c.AsOf = h.drawPrimary(t, c.RelativePath), drawStorages(t), h.drawAsOf(t)
	others := h.state.VirtualStorage(vs).names(func(s *Storage) bool { return s.Name != c.Authority && !e.IsBehind(s.Name) })
	if len(others) > 0 && rapid.Bool().Draw(t, "lacks") {
		c.PrimaryLacks, c.Authority = true, rapid.SampledFrom(others).Draw(t, "authority")
	}
	if e != nil {
		for _, m := range e.Intents {
			if m.InDoubt != nil {
				c.Doubts = append(c.Doubts, DoubtRef{m.Incarnation, m.InDoubt.At})
			}
		}
	}
	return Command{ResolveDoubt: c}
}

// drawRejoin returns a storage on the disk it has, on another one, or backfilled.
func (h *history) drawRejoin(t *rapid.T, _ Incarnation) Command {
	name := drawStorage(t)
	c := reach(name, drawDisk(t, name))
	s := h.state.VirtualStorage(vs).Storage(c.Rejoin.Storage)
	if s != nil && s.FilesystemID != "" && rapid.IntRange(0, 2).Draw(t, "same") < 2 {
		c.Rejoin.FilesystemID = s.FilesystemID
		if s.State == Backfilling {
			if s.Uncompared != "" && rapid.Bool().Draw(t, "compared") {
				return compared(s)
			}
			c.Rejoin.Backfilled = s.Since
		}
	}
	return c
}

// drawDisk draws one of two disks that the storage may have.
func drawDisk(t *rapid.T, storage string) string {
	return storage + rapid.SampledFrom([]string{"1", "2"}).Draw(t, "disk")
}
