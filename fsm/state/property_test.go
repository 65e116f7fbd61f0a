package state

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"praefect/test/must"
)

// history draws a random log: batches that are often right, and often not.
type history struct {
	t          *rapid.T
	state      *State
	restored   *State // after the same log, and now and then made again from its snapshot
	model      *model
	invariants *invariants

	lives  []Incarnation  // ever registered
	seen   map[string]int // commands applied, by type
	number uint64
	sent   []Batch
}

// entryTerm is the term of every entry of the log.
const entryTerm = 7

var (
	allPaths    = []string{"a", "b", "pool"}
	allStorages = []string{"p", "q", "r", "s"}
)

// propertyRounds bounds how often histories are drawn again because a rare command was never
// applied in them: a round in fifty lacks one.
const propertyRounds = 10

func TestState_properties(t *testing.T) {
	withStep(t, 1) // sweeps stay for some commands; the restored state has them carried out by its snapshots
	seen := map[string]int{}
	for range propertyRounds {
		checkHistories(t, seen)
		if len(neverApplied(seen)) == 0 || t.Failed() {
			return
		}
	}
	t.Errorf("never applied: %q", neverApplied(seen))
}

// neverApplied are the kinds of commands that are not among those seen.
func neverApplied(seen map[string]int) (kinds []string) {
	for _, c := range everyCommand() {
		if kind := fmt.Sprintf("%T", c.one()); seen[kind] == 0 {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// checkHistories draws histories, and counts the commands that are applied in them.
func checkHistories(t *testing.T, seen map[string]int) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{t: t, state: &State{}, restored: &State{}, model: newModel(), invariants: newInvariants(), seen: seen}
		h.send(Batch{Commands: []Command{{Register: &Register{ID: "1", ClusterID: "cluster", Level: 2}}}})
		h.send(Batch{Incarnation: h.lives[0], Commands: []Command{
			define("p", "q", "r"), reach("p", "p1"), reach("q", "q1"), reach("r", "r1"),
		}})
		for _, name := range []string{"q", "r"} {
			if rapid.IntRange(0, 2).Draw(t, "compared") == 2 {
				// What it came with is compared later, or never; the primary gets some of it.
				k := Key{vs, "pool"}
				h.send(Batch{Incarnation: h.lives[0], Commands: []Command{{Advance: &Advance{Key: k, Source: name}}}})
				h.send(Batch{Incarnation: h.lives[0], Commands: []Command{{EndAdvance: &EndAdvance{Key: k, Primary: "p", AsOf: h.state.Index}}}})
				continue
			}
			h.send(Batch{Incarnation: h.lives[0], Commands: []Command{compared(h.state.VirtualStorage(vs).Storage(name))}})
			c := reach(name, name+"1")
			c.Rejoin.Backfilled = h.state.VirtualStorage(vs).Storage(name).Since
			h.send(Batch{Incarnation: h.lives[0], Commands: []Command{c}})
		}
		for range rapid.IntRange(20, 80).Draw(t, "steps") {
			switch die(t, 4, "step") {
			case 0:
				h.restore()
			case 1:
				h.apply(rapid.SampledFrom(h.sent).Draw(t, "repeated"))
			default:
				h.send(h.draw())
			}
		}
		h.restore()
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
	if rapid.IntRange(0, 19).Draw(h.t, "term") == 19 {
		b.Term = rapid.Uint64Range(entryTerm, entryTerm+1).Draw(h.t, "of")
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
	must.Succeed(h.t, err)
	if b, err = DecodeBatch(data); err != nil {
		h.t.Fatal(err)
	}
	b.EntryTerm = entryTerm
	before, repeated := h.state, h.state.answers.find(b.RequestID) != nil
	index := before.Index + 1
	next, results := before.Apply(index, b)
	restored, restoredResults := h.restored.Apply(index, b)
	if got, want := fmt.Sprintf("%+v", restoredResults), fmt.Sprintf("%+v", results); reasons(restoredResults) != reasons(results) {
		h.t.Fatalf("the restored state answers %s, not %s", got, want)
	}
	if err := next.Check(); err != nil {
		h.t.Fatalf("after %s: %v", data, err)
	}
	h.state, h.restored = next, restored
	h.compare()
	if repeated {
		return
	}
	soFar := before
	for i, r := range results {
		part := b
		part.Commands = b.Commands[:i+1]
		after, _ := before.Apply(index, part)
		if r.Refusal == nil {
			h.seen[fmt.Sprintf("%T", b.Commands[i].one())]++
			h.model.happened(index, b.Commands[i], soFar)
			h.written(b.Commands[i].MarkBehind, after)
		}
		if r.Incarnation != 0 {
			h.lives = append(h.lives, r.Incarnation)
		}
		h.invariants.check(h.t, soFar, after)
		soFar = after
	}
	h.model.check(h.t, next)
	h.invariants.checkReads(h.t, next)
	h.invariants.checkReads(h.t, restored)
}

// written is I13 for one write: it is on the repository's primary.
func (h *history) written(c *MarkBehind, after *State) {
	if c == nil {
		return
	}
	for _, path := range c.Paths {
		if p, ok := after.PrimaryOf(Key{vs, path}); !ok || p.Name != c.Primary {
			h.t.Fatalf("%q was written to %q, and its primary is %q (%t)", path, c.Primary, p.Name, ok)
		}
	}
}

func (h *history) compare() {
	if got, want := printed(h.t, h.restored), printed(h.t, h.state); got != want {
		h.t.Fatalf("the restored state is\n%s\nnot\n%s", got, want)
	}
}

func (h *history) restore() {
	restored, err := readSnapshot(strings.NewReader(printed(h.t, h.restored)), h.restored.FeatureLevel())
	must.Succeed(h.t, err)
	h.restored = restored
	h.compare()
}

func printed(t *rapid.T, s *State) string {
	var b strings.Builder
	must.Succeed(t, s.WriteSnapshot(&b))
	return b.String()
}
