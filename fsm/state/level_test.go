package state

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"praefect/test/must"
)

var updateLevel1 = flag.Bool("update-level1", false, "write the fields of level 1 anew, as long as no release has them")

const level1 = "testdata/level1.txt"

// TestFeatures_listEveryField: a command or a field that a former release does not
// know must not be proposed before every instance knows it, so that each is listed
// with the level that brought it.
func TestFeatures_listEveryField(t *testing.T) {
	all := fieldsOf("", reflect.TypeFor[Batch](), nil)
	if *updateLevel1 {
		must.Succeed(t, os.WriteFile(level1, []byte(strings.Join(all, "\n")+"\n"), 0o644))
	}
	text, err := os.ReadFile(level1)
	must.Succeed(t, err)
	listed := strings.Fields(string(text))
	for _, f := range features {
		if f.level < 2 || f.level > Level {
			t.Errorf("%s is of level %d, this program is of level %d", f.path, f.level, Level)
		}
		listed = append(listed, f.path)
	}
	for _, path := range all {
		if !slices.Contains(listed, path) {
			t.Errorf("%s is not listed. After the first release: raise Level once a release, and add it to features. "+
				"Before: go test ./fsm/state -run TestFeatures -update-level1", path)
		}
	}
	for _, path := range listed {
		if !slices.Contains(all, path) {
			t.Errorf("%s is listed, and no field any more: a log may have it", path)
		}
	}
}

// fieldsOf appends the JSON names of what a value of the type can say.
func fieldsOf(prefix string, typ reflect.Type, all []string) []string {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice:
		return fieldsOf(prefix, typ.Elem(), all)
	case reflect.Struct:
	default:
		return all
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "":
			all = fieldsOf(prefix, f.Type, all)
		case prefix == "" && name == "c": // the commands go by their own names
			all = fieldsOf("", f.Type, all)
		default:
			path := strings.TrimPrefix(prefix+"."+name, ".")
			all = fieldsOf(path, f.Type, append(all, path))
		}
	}
	return all
}

// withFeature makes pauses that tell why a feature of level 2.
func withFeature(t *testing.T) {
	before := features
	features = append(slices.Clone(features), feature{"pause.why", 2, func(c *Command) bool { return c.Pause != nil && c.Pause.Why != "" }})
	t.Cleanup(func() { features = before })
}

func TestState_Allows(t *testing.T) {
	withFeature(t)
	plain, later := Command{Pause: &Pause{}}, Command{Pause: &Pause{Why: "maintenance"}}
	w := newFixture(t)
	for _, r := range []struct {
		level    int
		commands []Command
		allowed  bool
	}{
		{1, []Command{plain, closing(false)}, true},
		{1, []Command{plain, later}, false},
		{2, []Command{plain, later}, true},
	} {
		w.Level = r.level
		err := w.Allows(Needs(r.commands))
		if refusal := (*Refusal)(nil); (err == nil) != r.allowed || err != nil && (!errors.As(err, &refusal) || refusal.Reason != RefusedLevel) {
			t.Errorf("at level %d: %v", r.level, err)
		}
	}
	if _, err := EncodeBatch(Batch{RequestID: "r", Commands: []Command{later}}); err == nil || Level >= 2 {
		t.Errorf("encoded what needs level 2: %v", err)
	}
}

func TestRaise(t *testing.T) {
	raise := func(level int) func(*fixture) Command {
		return func(*fixture) Command { return Command{Raise: &Raise{Level: level}} }
	}
	for _, r := range []struct {
		name    string
		a, b    int // the levels of the programs of alpha and beta
		raised  int // before
		do      func(*fixture) Command
		refused Reason
	}{
		{name: "all know it", a: 2, b: 2, do: raise(2)},
		{name: "one knows more", a: 2, b: 3, do: raise(2)},
		{name: "two at once", a: 3, b: 3, do: raise(3)},
		{name: "one does not know it", a: 2, b: 1, do: raise(2), refused: RefusedLevel},
		{name: "one does not say", a: 2, do: raise(2), refused: RefusedLevel},
		{name: "again", a: 2, b: 2, raised: 2, do: raise(2), refused: RefusedLevel},
		{name: "never down", a: 3, b: 3, raised: 3, do: raise(2), refused: RefusedLevel},
		{name: "to the first", a: 2, b: 2, do: raise(1), refused: RefusedInvalid},
	} {
		t.Run(r.name, func(t *testing.T) {
			w := &fixture{t: t, State: &State{}}
			w.must(0, Command{Register: &Register{ID: "a", ClusterID: "cluster", Level: r.a}})
			w.must(0, Command{Register: &Register{ID: "b", Level: r.b}})
			if r.raised > 0 {
				w.must(alpha, raise(r.raised)(w))
			}
			before, c := w.FeatureLevel(), r.do(w)
			got := w.try(alpha, c)
			if r.refused != "" {
				if got.Refusal == nil || got.Refusal.Reason != r.refused || w.FeatureLevel() != before {
					t.Errorf("got %v at level %d, want refused (%s)", got.Refusal, w.FeatureLevel(), r.refused)
				}
				return
			}
			if got.Refusal != nil || w.FeatureLevel() != c.Raise.Level {
				t.Errorf("got %v, level %d", got.Refusal, w.FeatureLevel())
			}
		})
	}
}

// TestRegister_tooOld: once the level has risen an instance that does not know it
// gets no incarnation.
func TestRegister_tooOld(t *testing.T) {
	w := &fixture{t: t, State: &State{}}
	w.must(0, Command{Register: &Register{ID: "a", ClusterID: "cluster", Level: 2}})
	w.must(0, Command{Register: &Register{ID: "b", Level: 1}}) // it does not know what is not used yet
	w.must(alpha, proved(beta, ProofSilent), Command{Raise: &Raise{Level: 2}})
	for level, refused := range map[int]bool{0: true, 1: true, 2: false, 3: false} {
		got := w.try(0, Command{Register: &Register{ID: "c", Level: level}})
		if got.Refusal != nil != refused || refused && got.Refusal.Reason != RefusedLevel {
			t.Errorf("level %d: %v", level, got.Refusal)
		}
	}
}

// TestApply_aboveTheLevel: what a member may not know is refused by those that do.
func TestApply_aboveTheLevel(t *testing.T) {
	w := newFixture(t)
	b := Batch{Version: 2, RequestID: "r", Incarnation: alpha, Number: 1000, Commands: []Command{open(Open), define("p")}}
	next, results := w.Apply(w.Index+1, b)
	for _, r := range results {
		if r.Refusal == nil || r.Refusal.Reason != RefusedLevel {
			t.Errorf("got %v", r.Refusal)
		}
	}
	if next.Entry(Key{vs, repo}) != nil {
		t.Error("a refused batch opened an intent")
	}
}

// TestTooOld: what a later program wrote is told from what is broken, even if
// nothing else of it can be read.
func TestTooOld(t *testing.T) {
	_, entry := DecodeBatch([]byte(fmt.Sprintf("%c{\"id\":\"r\",\"c\":[{\"unheard\":{}}]}", Level+1)))
	_, snapshot := ReadSnapshot(strings.NewReader(fmt.Sprintf("{\"header\":{\"version\":1,\"index\":1,\"unheard\":1,\"level\":%d}}\n", Level+1)))
	for name, err := range map[string]error{
		"entry": entry, "snapshot": snapshot, "state": (&State{Level: Level + 1}).Known(),
	} {
		if level := (*LevelError)(nil); !errors.As(err, &level) || level.Needed != Level+1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, level := range map[string]int{"nothing": 0, "its own": Level} {
		if err := (&State{Level: level}).Known(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSnapshot_level: a snapshot carries the level, and one of level 1 is as the
// first release wrote it.
func TestSnapshot_level(t *testing.T) {
	w := newFixture(t)
	if text := snapshotOf(t, w.State); strings.Contains(text, "level") {
		t.Errorf("a snapshot of level 1 names it: %s", text)
	}
	w.Level = Level
	for i := range w.Instances {
		w.Instances[i].Level = Level
	}
	again, err := ReadSnapshot(strings.NewReader(snapshotOf(t, w.State)))
	if err != nil || again.Level != Level || again.Instances[0].Level != Level {
		t.Errorf("restored %+v, %v", again, err)
	}
}
