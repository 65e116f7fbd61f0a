package state

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"praefect/test/must"
)

// everyCommand is one of each.
func everyCommand() []Command {
	return []Command{
		{Register: &Register{ID: "a", Name: "one", Address: "h:1", RaftAddress: "h:2", Version: "v1", ClusterID: "c",
			LeaseMillis: 2000, Level: 1}},
		{Retire: &Retire{Incarnation: 1, Proof: ProofRefused}},
		{Define: &Define{VirtualStorage: vs, Storages: []string{"p", "q"}, Was: []string{"p"}, By: "operator"}},
		{RemoveVirtualStorage: &RemoveVirtualStorage{VirtualStorage: vs, Epoch: 4, By: "operator"}},
		{Rejoin: &Rejoin{VirtualStorage: vs, Storage: "p", FilesystemID: "disk", Backfilled: 3}},
		{Fence: &Fence{VirtualStorage: vs, Storages: []string{"p"}, Why: WhySwitchover, Epoch: 3, By: "operator"}},
		{Admit: &Admit{VirtualStorage: vs, Epoch: 4, By: "operator", Storages: []Admission{
			{Storage: "p", As: Serving, FilesystemID: "disk"}, {Storage: "q", As: Out, Why: WhyDrained}}}},
		{Drain: &Drain{VirtualStorage: vs, Storage: "q", By: "operator"}},
		{Undrain: &Undrain{VirtualStorage: vs, Storage: "q", By: "operator"}},
		{Refill: &Refill{VirtualStorage: vs, Storage: "q", By: "operator"}},
		{Pause: &Pause{VirtualStorage: vs, Until: 1000, Why: "maintenance", By: "operator"}},
		{Resume: &Resume{VirtualStorage: vs, By: "operator"}},
		{Open: &OpenIntent{VirtualStorage: vs, Paths: []string{"@hashed/\u00fc & <b>.git"}, Kind: PrimaryOnly,
			Scope: Scope{BoundMillis: 10, RefsOnly: true, Targets: []string{"p"}}}},
		closing(true),
		deleting(DeletedSet, "p", "q"),
		markInSync(3, "q"),
		{ResolveDoubt: &ResolveDoubt{Key: Key{vs, repo}, Doubts: []DoubtRef{{1, 2}}, Authority: "p", PrimaryLacks: true,
			Equal: []string{"q"}, AsOf: 3}},
		{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "q", By: "operator"}},
		{Record: &Record{What: ChangeAdded, Instance: "two", By: "operator"}},
		{Raise: &Raise{Level: 2}},
		{Compared: &Compared{VirtualStorage: vs, Storage: "q", Since: 3}},
		advance("q", "p"),
		{EndAdvance: &EndAdvance{Key: Key{vs, repo}, Primary: "p", Equal: []string{"q"}, Doubts: []DoubtRef{{1, 2}}, AsOf: 3}},
		{MarkConflict: &MarkConflict{Key: Key{vs, repo}, AsOf: 3, Conflicts: []Conflict{{
			Storage: "q", Primary: "p", Time: 1000, Differing: 2, Here: ConflictSide{Absent: true},
			There:  ConflictSide{Commit: "2", Time: 5},
			Sample: []DifferingReference{{Name: "refs/heads/main", There: "2"}},
		}}}},
		markDoubt(3, "q"),
		remake(3, "q"),
		stepDown(3, "p"),
		{Wish: &Wish{Key: Key{vs, repo}, BoundMillis: 5000}},
	}
}

func TestCodec_roundTrip(t *testing.T) {
	want := Batch{Version: CommandVersion, RequestID: "r", Incarnation: 1<<63 + 1, Number: 1<<64 - 1, Time: 5, Term: 6,
		Commands: everyCommand()}
	data, err := EncodeBatch(want)
	must.Succeed(t, err)
	got, err := DecodeBatch(data)
	must.Succeed(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if fields := reflect.TypeFor[Command]().NumField(); len(want.Commands) != fields {
		t.Errorf("%d of %d kinds of command", len(want.Commands), fields)
	}
}

func TestDecodeBatch_refuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":            "",
		"no body":            "\x01",
		"version 0":          "\x00" + `{"id":"r","c":[{"close":{"virtual_storage":"v","paths":["a"]}}]}`,
		"a later version":    "\x02" + `{"id":"r","c":[{"close":{"virtual_storage":"v","paths":["a"]}}]}`,
		"no request id":      "\x01" + `{"c":[{"close":{"virtual_storage":"v","paths":["a"]}}]}`,
		"no command":         "\x01" + `{"id":"r","c":[]}`,
		"an empty command":   "\x01" + `{"id":"r","c":[{}]}`,
		"a double command":   "\x01" + `{"id":"r","c":[{"close":{"virtual_storage":"v","paths":["a"]},"retire":{"incarnation":1,"successor":2}}]}`,
		"an unknown command": "\x01" + `{"id":"r","c":[{"explode":{}}]}`,
		"an unknown field":   "\x01" + `{"id":"r","c":[{"close":{"virtual_storage":"v","paths":["a"],"x":1}}]}`,
		"trailing data":      "\x01" + `{"id":"r","c":[{"close":{"virtual_storage":"v","paths":["a"]}}]} x`,
		"a second batch":     "\x01" + `{"id":"r","c":[{"close":{"virtual_storage":"v","paths":["a"]}}]}{}`,
		"cut short":          "\x01" + `{"id":"r","c":[{"close":{"virtual_storage":"v"`,
	} {
		if b, err := DecodeBatch([]byte(data)); err == nil {
			t.Errorf("%s: decoded %+v", name, b)
		}
	}
}

func TestEncodeBatch_refusesWhatApplyWould(t *testing.T) {
	for name, c := range map[string]Command{
		"no field":            {},
		"a path not in UTF-8": paths(closing(false), "a\xff.git"),
		"no path":             paths(closing(false)),
		"no kind":             open(""),
	} {
		_, err := EncodeBatch(Batch{Version: CommandVersion, RequestID: "r", Commands: []Command{c}})
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Reason != RefusedInvalid {
			t.Errorf("%s: got %v, want refused (%s)", name, err, RefusedInvalid)
		}
	}
	for name, b := range map[string]Batch{
		"no request id": {Version: CommandVersion, Commands: []Command{closing(false)}},
		"no command":    {Version: CommandVersion, RequestID: "r"},
		"a wrong one":   {Version: CommandVersion + 1, RequestID: "r", Commands: []Command{closing(false)}},
		"past one byte": {Version: CommandVersion + 256, RequestID: "r", Commands: []Command{closing(false)}},
	} {
		if _, err := EncodeBatch(b); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for _, c := range everyCommand() {
		data, err := EncodeBatch(Batch{Version: CommandVersion, RequestID: "r", Incarnation: alpha, Number: 1000, Commands: []Command{c}})
		must.Succeed(f, err)
		f.Add(data)
	}
	old, err := EncodeBatch(Batch{Version: CommandVersion, RequestID: "r", Incarnation: alpha, Term: 1, Commands: []Command{proved(beta, ProofSilent)}})
	must.Succeed(f, err)
	f.Add(old)
	busy, fenced := busyFixture(f), newFixture(f)
	fenced.fence("p", "q")
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBatch(data)
		if err != nil {
			return
		}
		encoded, err := b.encode()
		must.Succeed(t, err)
		again, err := DecodeBatch(encoded)
		if err != nil {
			t.Fatalf("%v in %q", err, encoded)
		}
		recoded, err := again.encode()
		if err != nil || string(recoded) != string(encoded) {
			t.Fatalf("%q became %q, %v", encoded, recoded, err)
		}
		for _, s := range []*State{{}, busy.State, fenced.State} {
			b.EntryTerm = b.Term
			next, results := s.Apply(s.Index+1, b)
			if len(results) != len(b.Commands) {
				t.Fatalf("%d results for %d commands", len(results), len(b.Commands))
			}
			if err := next.Check(); err != nil {
				t.Fatalf("%v after %q", err, data)
			}
			if _, err := readSnapshot(strings.NewReader(snapshotOf(t, next)), next.FeatureLevel()); err != nil {
				t.Fatalf("%v after %q", err, data)
			}
		}
	})
}
