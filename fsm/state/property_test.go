package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// history draws a random log: batches that are often right, and often not. Its
// twin is the same log applied to a state that is restored from snapshots on
// the way.
type history struct {
	t     *rapid.T
	state *State
	twin  *State
	truth truth

	lives  []Incarnation // ever registered
	number uint64
	sent   []Batch
}

var (
	allPaths    = []string{"a", "b", "pool"}
	allStorages = []string{"p", "q", "r", "s"}
)

func TestState_properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{t: t, state: &State{}, twin: &State{}, truth: truth{}}
		h.send(Batch{Commands: []Command{{Register: &Register{ID: "1", ClusterID: "cluster"}}}})
		h.send(Batch{Incarnation: h.lives[0], Commands: []Command{define("p", "q", "r")}})
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 19).Draw(t, "step") {
			case 0:
				h.restoreTwin()
			case 2:
				h.apply(rapid.SampledFrom(h.sent).Draw(t, "repeated"))
			default:
				h.send(h.draw())
			}
		}
		h.restoreTwin()
	})
}

func (h *history) draw() Batch {
	by := rapid.SampledFrom(h.lives).Draw(h.t, "by")
	if n := len(h.state.Instances); n > 0 && rapid.IntRange(0, 9).Draw(h.t, "live") < 9 {
		by = h.state.Instances[rapid.IntRange(0, n-1).Draw(h.t, "instance")].Incarnation
	}
	drawn := rapid.Custom(func(t *rapid.T) Command { return h.drawCommand(t, by) })
	b := Batch{Incarnation: by, Commands: rapid.SliceOfN(drawn, 1, 3).Draw(h.t, "commands")}
	if rapid.IntRange(0, 9).Draw(h.t, "late") == 9 && h.number > 3 {
		b.Number = h.number - 3
	}
	return b
}

// send gives the batch what it lacks and applies it.
func (h *history) send(b Batch) {
	h.number++
	if b.Number == 0 {
		b.Number = h.number
	}
	b.Version, b.RequestID, b.Time = CommandVersion, fmt.Sprint("r", len(h.sent)), int64(len(h.sent))
	h.sent = append(h.sent, b)
	h.apply(b)
}

// apply applies the batch, as it comes out of the log, and compares.
func (h *history) apply(b Batch) {
	data, err := b.encode()
	if err != nil {
		h.t.Fatal(err)
	}
	if b, err = DecodeBatch(data); err != nil {
		h.t.Fatal(err)
	}
	before, repeated := h.state, h.state.answers.find(b.RequestID) != nil
	index := before.Index + 1
	next, results := before.Apply(index, b)
	twin, twinResults := h.twin.Apply(index, b)
	if got, want := fmt.Sprintf("%+v", twinResults), fmt.Sprintf("%+v", results); reasons(twinResults) != reasons(results) {
		h.t.Fatalf("the twin answers %s, not %s", got, want)
	}
	if err := next.Check(); err != nil {
		h.t.Fatalf("after %s: %v", data, err)
	}
	h.state, h.twin = next, twin
	h.compare()
	if repeated {
		return
	}
	for i, r := range results {
		if r.Refusal == nil {
			part := b
			part.Commands = b.Commands[:i]
			soFar, _ := before.Apply(index, part)
			h.truth.happened(index, b.Commands[i], soFar)
		}
		if r.Incarnation != 0 {
			h.lives = append(h.lives, r.Incarnation)
		}
	}
	h.truth.check(h.t, next)
}

func (h *history) compare() {
	if got, want := printed(h.t, h.twin), printed(h.t, h.state); got != want {
		h.t.Fatalf("the twin is\n%s\nnot\n%s", got, want)
	}
}

func (h *history) restoreTwin() {
	twin, err := ReadSnapshot(strings.NewReader(printed(h.t, h.twin)))
	if err != nil {
		h.t.Fatal(err)
	}
	h.twin = twin
	h.compare()
}

func printed(t *rapid.T, s *State) string {
	var b strings.Builder
	if err := s.WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// drawPath draws the path of a repository, rather one that fits.
func (h *history) drawPath(t *rapid.T, fits func(*Entry) bool) string {
	fitting := slices.DeleteFunc(slices.Clone(allPaths), func(p string) bool { return !fits(h.state.Entry(Key{vs, p})) })
	if len(fitting) > 0 && rapid.IntRange(0, 9).Draw(t, "fits") < 9 {
		return rapid.SampledFrom(fitting).Draw(t, "path")
	}
	return rapid.SampledFrom(allPaths).Draw(t, "path")
}

func (h *history) drawCommand(t *rapid.T, by Incarnation) Command {
	marked := func(e *Entry) bool { return e.Live(by) != nil }
	storages := rapid.SliceOfDistinct(rapid.SampledFrom(allStorages), rapid.ID[string]).Draw(t, "storages")
	v := h.state.VirtualStorage(vs)
	asOf := h.state.Index - min(h.state.Index, Index(max(0, rapid.IntRange(0, 9).Draw(t, "ago")-7)))
	primaryOf := func(path string) string {
		if p, ok := v.Primary(h.state.Entry(Key{vs, path})); ok && rapid.IntRange(0, 9).Draw(t, "right") < 9 {
			return p.Name
		}
		return rapid.SampledFrom(allStorages).Draw(t, "storage")
	}
	switch kind := rapid.IntRange(0, 29).Draw(t, "command"); {
	case kind <= 6:
		return Command{Open: &OpenMark{
			VirtualStorage: vs,
			Paths:          rapid.SliceOfNDistinct(rapid.SampledFrom(allPaths), 1, 2, rapid.ID[string]).Draw(t, "paths"),
			Kind:           rapid.SampledFrom([]MarkKind{Open, Solo}).Draw(t, "kind"),
			Scope: Scope{
				BoundMillis: rapid.Int64Range(0, 9).Draw(t, "bound"),
				RefsOnly:    rapid.Bool().Draw(t, "refs"),
				Targets:     slices.DeleteFunc(slices.Clone(storages), func(s string) bool { return v.Storage(s) == nil }),
			},
		}}
	case kind <= 11:
		path := h.drawPath(t, marked)
		primary := primaryOf(path)
		return Command{Wrote: &Wrote{
			VirtualStorage: vs, Paths: []string{path}, Primary: primary,
			Epoch:    v.Epoch - uint64(rapid.IntRange(0, 1).Draw(t, "late")),
			Agreeing: union(storages, []string{primary}),
			Deleted:  rapid.SampledFrom([]DeletedChange{DeletedKeep, DeletedSet, DeletedClear}).Draw(t, "deleted"),
		}}
	case kind <= 15:
		return Command{InSync: &InSync{Key: Key{vs, h.drawPath(t, marked)}, Storages: storages, AsOf: asOf}}
	case kind <= 19:
		path := h.drawPath(t, func(e *Entry) bool { return marked(e) && e.HasDirty() })
		if e := h.state.Entry(Key{vs, path}); marked(e) && !e.HasDirty() {
			return Command{Close: &Close{VirtualStorage: vs, Paths: []string{path}, Dirty: true}}
		}
		return Command{Settle: h.drawSettle(t, path, primaryOf(path), storages, asOf)}
	case kind <= 22:
		return Command{Close: &Close{
			VirtualStorage: vs, Paths: []string{h.drawPath(t, marked)}, Dirty: rapid.Bool().Draw(t, "dirty"),
		}}
	case kind <= 25:
		return h.drawReturn(t)
	case kind == 26:
		return define(storages...)
	case kind == 27:
		return Command{Register: &Register{ID: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id")}}
	default:
		return Command{Retire: &Retire{
			Incarnation: rapid.SampledFrom(h.lives).Draw(t, "inc"),
			Successor:   rapid.SampledFrom(h.lives).Draw(t, "successor"),
		}}
	}
}

func (h *history) drawSettle(t *rapid.T, path, primary string, equal []string, asOf Index) *Settle {
	c := &Settle{Key: Key{vs, path}, Authority: primary, Equal: equal, AsOf: asOf}
	e := h.state.Entry(c.Key)
	others := h.state.VirtualStorage(vs).names(func(s *Storage) bool { return s.Name != primary && !e.IsBehind(s.Name) })
	if len(others) > 0 && rapid.Bool().Draw(t, "lacks") {
		c.PrimaryLacks, c.Authority = true, rapid.SampledFrom(others).Draw(t, "authority")
	}
	if e != nil {
		for _, m := range e.Marks {
			if m.Dirty != nil {
				c.Marks = append(c.Marks, DirtyRef{m.Incarnation, m.Dirty.At})
			}
		}
	}
	return c
}

// drawReturn returns a storage on the disk it has, on another one, or filled.
func (h *history) drawReturn(t *rapid.T) Command {
	c := reach(rapid.SampledFrom(allStorages).Draw(t, "storage"), rapid.SampledFrom([]string{"1", "2"}).Draw(t, "disk"))
	s := h.state.VirtualStorage(vs).Storage(c.Return.Storage)
	if s != nil && s.FilesystemID != "" && rapid.IntRange(0, 2).Draw(t, "same") < 2 {
		c.Return.FilesystemID = s.FilesystemID
		if s.Standing == Filling {
			c.Return.Filled = s.Since
		}
	}
	return c
}
