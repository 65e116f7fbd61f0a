package quorum

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

var (
	apple  = Vote{Hash: [20]byte{1}, Phase: 1}
	banana = Vote{Hash: [20]byte{2}, Phase: 1}
	late   = Vote{Hash: [20]byte{1}, Phase: 2}
	last   = Vote{Phase: 2}
	synced = Vote{Hash: [20]byte{3}, Phase: 3}
	early  = Vote{Hash: [20]byte{1}, Phase: 4}
	unsaid = Vote{Hash: [20]byte{1}}
)

// fixture prints what votes says.
type fixture struct {
	*Votes
	now time.Duration
}

func newFixture(cfg Config) *fixture {
	if cfg.Voters == nil {
		cfg.Voters = []string{"a", "b", "c"}
	}
	if cfg.Copies == 0 {
		cfg.Copies = 2
	}
	return &fixture{Votes: New(cfg), now: cfg.Began}
}

func lines(effects []Effect) string {
	var out []string
	for _, e := range effects {
		switch e := e.(type) {
		case Reply:
			out = append(out, fmt.Sprint(e.Voter, " ", e.Answer))
		case Run:
			out = append(out, e.Voter+" runs")
		case Idle:
			out = append(out, e.Voter+" idle")
		case Account:
			line := "account " + strings.Join(e.Agreeing, ",")
			if e.Short {
				line += " short"
			}
			if e.Late != nil {
				line += " without " + strings.Join(e.Late, ",")
			}
			if e.Harmless {
				line += " harmless"
			}
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}

// do carries out a script: "a=apple" casts, "a-" leaves, "a!" halts, "a~" is
// hurried and "a^" is not any more, "a." ends well, "b*" has locks given up, the call of "a?"
// can be sent, that of "a#" cannot be sent again, "ok" and "no"
// release, "+200ms" lets time pass.
func (r *fixture) do(t *testing.T, step string) string {
	t.Helper()
	votes := map[string]Vote{"apple": apple, "banana": banana, "late": late, "last": last, "synced": synced, "early": early, "unsaid": unsaid}
	switch {
	case step == "ok" || step == "no":
		return lines(r.Allowed(r.now, step == "ok"))
	case step == "locks given up":
		return lines(r.LocksGivenUp(r.now))
	case step == "abort":
		return lines(r.Abort())
	case step[0] == '+':
		d, err := time.ParseDuration(step[1:])
		if err != nil {
			t.Fatal(err)
		}
		r.now += d
		return lines(r.Tick(r.now))
	case strings.HasSuffix(step, "-"):
		return lines(r.Leave(r.now, step[:1]))
	case strings.HasSuffix(step, "~"), strings.HasSuffix(step, "^"):
		return lines(r.Hurry(r.now, step[:1], step[1] == '~'))
	case strings.HasSuffix(step, "*"):
		effects, _ := r.Yield(r.now)
		return lines(effects)
	case strings.HasSuffix(step, "."):
		return lines(r.Ended(r.now, step[:1], true))
	case strings.HasSuffix(step, "?"):
		return lines(r.Ready(r.now, step[:1]))
	case strings.HasSuffix(step, "#"):
		return lines(r.Once(step[:1]))
	case strings.HasSuffix(step, "!"):
		return lines(r.Halt(r.now, step[:1]))
	}
	name, vote, _ := strings.Cut(step, "=")
	effects, ok := r.Cast(r.now, name, votes[vote])
	if !ok {
		return "refused"
	}
	return lines(effects)
}

func TestVotes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cfg    Config
		steps  []string // "step -> effects"; without an arrow there are none
		agreed string
	}{
		{"all agree, twice", Config{}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
			"c=late", "b=late", "a=late -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c"},
		{"one votes otherwise", Config{}, []string{
			"b=banana", "a=apple", "c=apple -> b ABORT; account a,c", "ok -> a COMMIT; c COMMIT", "b=late -> b ABORT",
		}, "a c"},
		{"phases are told apart", Config{}, []string{"b=late", "a=apple", "c=apple -> b ABORT; account a,c"}, ""},
		{"one is late, and lives", Config{}, []string{
			"a=apple", "b=apple", "+3800ms", "c=apple -> account a,b,c",
		}, ""},
		{"one lives, and never votes", Config{}, []string{
			"a=apple", "b=apple", "+11999ms", "+1ms -> account a,b without c", "ok -> a COMMIT; b COMMIT", "c=apple -> c ABORT",
		}, "a b"},
		{"one falls silent", Config{}, []string{
			"a=apple", "b=apple", "+1s", "+700ms", "c~ -> account a,b", "ok -> a COMMIT; b COMMIT",
		}, "a b"},
		{"one of two falls silent", Config{Voters: []string{"a", "b", "c", "d"}, Copies: 1}, []string{
			"a=apple", "b=apple", "d=apple", "c~", "+999ms", "+1ms -> account a,b,d", "ok -> a COMMIT; b COMMIT; d COMMIT",
			"a=late", "b=late", "+2s", "c~", "+2s", "d=late -> account a,b,d",
		}, "a b d"},
		{"too few, and the others are silent", Config{}, []string{"b~", "c~", "a=apple", "+11999ms", "+1ms -> account a short"}, ""},
		{"one is heard again", Config{}, []string{"c~", "a=apple", "b=apple", "+500ms", "c^", "+1s", "c=apple -> account a,b,c"}, ""},
		{"one is late", Config{}, []string{
			"c~", "a=apple", "b=apple", "+999ms", "+1ms -> account a,b", "ok -> a COMMIT; b COMMIT", "c=apple -> c ABORT",
		}, "a b"},
		{"grace grows with the time taken", Config{}, []string{
			"c~", "+20s", "a=apple", "b=apple", "+4999ms", "+1ms -> account a,b",
		}, ""},
		{"grace has an end", Config{}, []string{"c~", "+10h", "a=apple", "b=apple", "+29999ms", "+1ms -> account a,b"}, ""},
		{"late while the ledger is asked", Config{}, []string{
			"c~", "a=apple", "b=apple", "+1s -> account a,b", "c=apple -> c ABORT", "ok -> a COMMIT; b COMMIT",
		}, "a b"},
		{"one is gone", Config{}, []string{"c-", "a=apple", "b=apple -> account a,b"}, ""},
		{"one goes last", Config{}, []string{"a=apple", "b=apple", "c- -> account a,b"}, ""},
		{"one goes with its vote", Config{}, []string{
			"c=apple", "c- -> c ABORT", "a=apple", "b=apple -> account a,b",
		}, ""},
		{"one goes with its vote, decided", Config{}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "c- -> c ABORT", "ok -> a COMMIT; b COMMIT",
		}, "a b"},
		{"one is done after all its votes", Config{}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT", "c-",
		}, "a b c"},
		{"one is done too early", Config{}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
			"c-", "a=late", "b=late -> account a,b", "ok -> a COMMIT; b COMMIT",
		}, "a b"},
		{"the primary is gone", Config{}, []string{"b=apple", "a- -> b ABORT", "c=apple -> c ABORT"}, ""},
		{"the primary is gone, decided", Config{}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "a- -> a ABORT", "ok -> b ABORT; c ABORT",
		}, ""},
		{"another wants one more round than the primary", Config{}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT", "b=late", "a- -> b ABORT",
		}, "a c"}, // git does not hear that, and has what the primary lacks
		{"another wants one more round later", Config{}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT", "a-", "b=late -> b ABORT",
		}, "a c"},
		{"one of a newer release prepares first", Config{}, []string{
			"b=early -> b COMMIT", "a=apple", "b=apple", "c=early -> c COMMIT", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c"},
		{"the primary is of a newer release", Config{}, []string{
			"b=apple", "a=early -> a COMMIT", "c=apple", "a=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c"},
		{"to prepare is nothing where it is aborted", Config{}, []string{"abort", "a=early -> a ABORT"}, ""},
		{"to prepare is nothing for one that is left out", Config{}, []string{"b!", "b=early -> b ABORT"}, ""},
		{"a hook before anything", Config{}, []string{
			"a=synced", "b=synced", "c=synced -> account a,b,c harmless", "ok -> a COMMIT; b COMMIT; c COMMIT",
			"a=apple", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
			"a=synced", "b=synced", "c=synced -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c"},
		{"outvoted", Config{}, []string{"a=apple", "b=banana", "c=banana -> a ABORT; b ABORT; c ABORT", "a=late -> a ABORT"}, ""},
		{"outvoted when it is done", Config{Voters: []string{"a", "b", "c", "d", "e"}}, []string{
			"a=apple", "b=apple", "c=apple", "d=apple", "e=apple -> account a,b,c,d,e", "ok -> a COMMIT; b COMMIT; c COMMIT; d COMMIT; e COMMIT",
			"a=late", "b=banana", "c=banana", "d=late", "e=banana -> a ABORT; b ABORT; c ABORT; d ABORT; e ABORT",
		}, "a d"},
		{"everybody differs: degrade", Config{}, []string{"a=apple", "b=banana", "c=late -> b ABORT; c ABORT; account a short"}, ""},
		{"everybody differs: block", Config{Block: true}, []string{"a=apple", "b=banana", "c=late -> a ABORT; b ABORT; c ABORT"}, ""},
		{"too few, the others may yet vote", Config{}, []string{
			"c~", "a=apple", "+11s", "b=apple", "+999ms", "+1ms -> account a,b", "ok -> a COMMIT; b COMMIT",
		}, "a b"},
		{"too few, and then all", Config{}, []string{"a=apple", "+3s", "b=apple", "+100ms", "c=apple -> account a,b,c"}, ""},
		{"too few, the others are too late", Config{}, []string{"a=apple", "+11999ms", "+1ms -> account a short without b,c", "ok -> a COMMIT"}, "a"},
		{"too few, the others end", Config{}, []string{"a=apple", "+2s", "b-", "c- -> account a short", "ok -> a COMMIT"}, "a"},
		{"too few after a round, one may yet vote", Config{}, []string{
			"b-", "a=apple", "c=apple -> account a,c", "ok -> a COMMIT; c COMMIT", "a=late", "+3s", "c=late -> account a,c",
		}, "a c"},
		{"alone: degrade", Config{}, []string{"b-", "c-", "a=apple -> account a short", "ok -> a COMMIT"}, "a"},
		{"alone: block", Config{Block: true}, []string{"b-", "c-", "a=apple -> a ABORT"}, ""},
		{"too few copies", Config{Copies: 3}, []string{"b-", "a=apple", "c=apple -> account a,c short"}, ""},
		{"the only one there is", Config{Voters: []string{"a"}, Copies: 1}, []string{"a=apple -> account a", "ok -> a COMMIT"}, "a"},
		{"two, one of them differs", Config{Voters: []string{"a", "b"}}, []string{"a=apple", "b=banana -> b ABORT; account a short"}, ""},
		{"the ledger says no", Config{}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "no -> a ABORT; b ABORT; c ABORT", "a=late -> a ABORT",
		}, ""},
		{"the primary halts", Config{}, []string{"b=apple", "a! -> b STOP", "c=apple -> c STOP"}, ""},
		{"another halts", Config{}, []string{"b=apple", "b! -> b STOP", "a=apple", "c=apple -> account a,c"}, ""},
		{"ended from outside", Config{}, []string{"b=apple", "abort -> b ABORT", "a=apple -> a ABORT"}, ""},
		{"another release differs", Config{OtherRelease: []string{"c"}}, []string{
			"c=banana", "a=apple", "b=apple -> c ABORT; account a,b", "ok -> a COMMIT; b COMMIT", "c=late -> c ABORT",
			"a=late", "b=late -> account a,b", "ok -> a COMMIT; b COMMIT",
		}, "a b"},
		{"another release agrees", Config{OtherRelease: []string{"b", "c"}}, []string{
			"c=apple", "a=apple", "b=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c"},
		{"one of another release agrees, one does not", Config{OtherRelease: []string{"b", "c"}}, []string{
			"c=banana", "a=apple", "b=apple -> c ABORT; account a,b",
		}, ""},
		{"alone with its release: degrade", Config{OtherRelease: []string{"b", "c"}}, []string{
			"b=banana", "c=banana", "a=apple -> b ABORT; c ABORT; account a short", "ok -> a COMMIT",
		}, "a"},
		{"alone with its release: block", Config{OtherRelease: []string{"b", "c"}, Block: true}, []string{
			"b=banana", "c=banana", "a=apple -> a ABORT; b ABORT; c ABORT",
		}, ""},
		{"alone with its release, another one is late", Config{OtherRelease: []string{"b", "c"}}, []string{
			"b=banana", "a=apple", "+2s", "c=apple -> b ABORT; account a,c",
		}, ""},
		{"two of five have the primary's release", Config{Voters: []string{"a", "b", "c", "d", "e"}, OtherRelease: []string{"c", "d", "e"}}, []string{
			"c=banana", "d=banana", "a=apple", "e=banana", "b=apple -> c ABORT; d ABORT; e ABORT; account a,b",
		}, ""},
		{"others of the primary's release are late, another release differs", Config{Voters: []string{"a", "b", "c", "d", "e"}, OtherRelease: []string{"e"}}, []string{
			"e=banana", "a=apple", "b=apple", "+999ms", "+11s", "+1ms -> e ABORT; account a,b short without c,d",
		}, ""},
		{"outvoted by its own release", Config{Voters: []string{"a", "b", "c", "d"}, OtherRelease: []string{"d"}}, []string{
			"a=apple", "d=late", "b=banana", "c=banana -> a ABORT; b ABORT; c ABORT; d ABORT",
		}, ""},
		{"outvoted by its own release and another one", Config{OtherRelease: []string{"c"}}, []string{
			"a=apple", "c=banana", "b=banana -> a ABORT; b ABORT; c ABORT",
		}, ""},
		{"another release has fewer rounds", Config{OtherRelease: []string{"c"}}, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
			"c-", "a=late", "b=late -> account a,b", "ok -> a COMMIT; b COMMIT",
		}, "a b"},
		{"another release does not know the method", Config{Voters: []string{"a", "b", "c", "d", "e"}, OtherRelease: []string{"c", "d", "e"}}, []string{
			"c-", "d-", "e-", "a=apple", "b=apple -> account a,b",
		}, ""},
		{"who has a vote waiting casts no other", Config{}, []string{"a=apple", "a=apple -> refused", "x=apple -> refused"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newFixture(tc.cfg)
			for _, step := range tc.steps {
				what, want, _ := strings.Cut(step, " -> ")
				if got := r.do(t, what); got != want {
					t.Fatalf("%s: got %q, want %q", what, got, want)
				}
			}
			if got := strings.Join(r.Agreed(), " "); got != tc.agreed {
				t.Errorf("agreed: %q, want %q", got, tc.agreed)
			}
		})
	}
}

func TestVotes_nextIsWhenTheGraceEnds(t *testing.T) {
	r := newFixture(Config{Began: 5 * time.Second})
	if at, ok := r.Next(); ok {
		t.Errorf("a tick is wanted at %v", at)
	}
	r.now += 8 * time.Second
	r.do(t, "a=apple")
	if at, ok := r.Next(); !ok || at != 13*time.Second+VoteTimeout { // it has one copy
		t.Errorf("next: %v, %v", at, ok)
	}
	r.do(t, "b=apple")
	if at, ok := r.Next(); !ok || at != 15*time.Second { // then it is looked at c
		t.Errorf("next, with enough copies: %v, %v", at, ok)
	}
	if got := strings.Join(r.Awaited(), " "); got != "c" {
		t.Errorf("awaited: %q", got)
	}
	r.do(t, "+2100ms")
	if at, ok := r.Next(); !ok || at != 15350*ms {
		t.Errorf("next, after a look: %v, %v", at, ok)
	}
	r.do(t, "c~")
	if at, ok := r.Next(); ok {
		t.Errorf("next, with enough copies: %v, %v", at, ok)
	}
}

func TestVotes_uselessAreOutAndHaveChangedNothing(t *testing.T) {
	r := newFixture(Config{Voters: []string{"a", "b", "c", "d"}})
	for _, step := range []string{"c~", "d~", "a=apple", "b=apple", "c=apple", "+1s", "ok", "a=late", "b=late", "+1s"} {
		r.do(t, step)
	}
	// d never voted; c did, and may commit, but was late for the second round.
	if got := strings.Join(r.Useless(), " "); got != "d" || r.Blocked() {
		t.Errorf("useless: %q, blocked: %v", got, r.Blocked())
	}
	r = newFixture(Config{Block: true})
	for _, step := range []string{"b-", "c-", "a=apple"} {
		r.do(t, step)
	}
	if !r.Blocked() {
		t.Error("not blocked")
	}
}

// TestVotes_rulesAtRandom: a commit goes to those only of whom the ledger was
// told that they agree, with what the primary votes; every vote is answered once;
// and whoever is left out of a round is left out of all that follow.
func TestVotes_rulesAtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e"}[:rapid.IntRange(1, 5).Draw(t, "voters")]
		copies := rapid.IntRange(1, 3).Draw(t, "copies")
		otherRelease := names[1:][:rapid.IntRange(0, len(names)-1).Draw(t, "otherRelease")]
		cfg := Config{Voters: names, Copies: copies, OtherRelease: otherRelease, Block: rapid.Bool().Draw(t, "block"),
			Repeatable: rapid.Bool().Draw(t, "repeatable"), Ordered: rapid.Bool().Draw(t, "ordered")}
		r := &fixture{Votes: New(cfg)}
		idle := map[string]bool{} // their calls are not sent, or do not count
		for _, name := range names[1:] {
			idle[name] = cfg.Repeatable && cfg.Ordered
		}
		harmless, changed := map[string]int{}, false // allowed in the call of now
		waiting := map[string]Vote{}
		var told []string // by the ledger's last Account, not answered
		in := slices.Clone(names)
		commits := map[string]int{}
		see := func(effects []Effect) {
			for _, e := range effects {
				switch e := e.(type) {
				case Account:
					if told != nil || e.Agreeing[0] != names[0] {
						t.Fatalf("account %v, while %v is", e.Agreeing, told)
					}
					if !e.Short && len(e.Agreeing) < copies {
						t.Fatalf("account %v is not short of %d copies", e.Agreeing, copies)
					}
					for _, name := range e.Agreeing {
						if later := e.Harmless && idle[name]; !later && waiting[name] != waiting[names[0]] || !slices.Contains(in, name) {
							t.Fatalf("%s agrees with %v, the primary with %v; in are %v", name, waiting[name], waiting[names[0]], in)
						}
					}
					told, in, changed = e.Agreeing, e.Agreeing, !e.Harmless
				case Run:
					if changed || !idle[e.Voter] {
						t.Fatalf("the call of %s is sent; it is idle: %t; something may have changed: %t", e.Voter, idle[e.Voter], changed)
					}
					idle[e.Voter], harmless[e.Voter] = false, 0
				case Reply:
					vote, ok := waiting[e.Voter]
					if !ok {
						t.Fatalf("%s gets %v, and waits for nothing", e.Voter, e.Answer)
					}
					idle[e.Voter] = idle[e.Voter] || r.voter(e.Voter).held
					switch delete(waiting, e.Voter); {
					case e.Answer == Commit && vote == synced && !changed:
						harmless[e.Voter]++
					case e.Answer == Commit:
						commits[e.Voter]++
						if idle[e.Voter] || !slices.Contains(told, e.Voter) {
							t.Fatalf("%s may commit, and %v were told to agree", e.Voter, told)
						}
					}
				}
			}
		}
		for range 60 {
			name := rapid.SampledFrom(names).Draw(t, "voter")
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			default:
				_, before := waiting[name]
				vote := rapid.SampledFrom([]Vote{apple, apple, apple, banana, synced}).Draw(t, "vote")
				if !before {
					waiting[name] = vote
				}
				effects, ok := r.Cast(r.now, name, vote)
				if ok == before {
					t.Fatalf("cast by %s: %v", name, ok)
				}
				see(effects)
			case 6:
				r.now += rapid.SampledFrom([]time.Duration{ms, time.Second, time.Minute}).Draw(t, "time")
				see(r.Tick(r.now))
				see(r.Hurry(r.now, name, rapid.Bool().Draw(t, "hurried")))
			case 7:
				if told != nil {
					effects := slices.Clone(r.Allowed(r.now, rapid.IntRange(0, 5).Draw(t, "ok") > 0))
					see(effects)
					told = nil
				}
			case 8:
				see(r.Ready(r.now, name))
				if rapid.IntRange(0, 3).Draw(t, "leave") == 0 {
					see(r.Ended(r.now, name, rapid.Bool().Draw(t, "well")))
				}
			case 9:
				if rapid.IntRange(0, 9).Draw(t, "halt") == 0 {
					see(r.Halt(r.now, name))
				}
			}
		}
		for _, name := range names {
			if slices.Contains(r.Committed(), name) != (commits[name] > 0) {
				t.Fatalf("committed: %v, with %d commits of %s", r.Committed(), commits[name], name)
			}
		}
		for _, name := range r.Agreed() {
			if !idle[name] && r.voter(name).passed == r.Rounds() && commits[name]+harmless[name] != r.Rounds() {
				t.Fatalf("%s agreed in %d of %d rounds", name, commits[name]+harmless[name], r.Rounds())
			}
			if r.effective && (idle[name] || r.voter(name).passed != r.Rounds()) {
				t.Fatalf("%s has not voted in all %d rounds", name, r.Rounds())
			}
		}
		see(r.Abort())
		if len(waiting) > 0 {
			t.Fatalf("without an answer: %v", waiting)
		}
	})
}

// What has only waited for a hook, or prepares, has changed nothing.
func TestVotes_committedIsWhoMayHaveChangedSomething(t *testing.T) {
	r := newFixture(Config{})
	for _, step := range []string{"a=early", "a=synced", "b=synced", "c=synced", "ok"} {
		r.do(t, step)
	}
	if got := r.Committed(); got != nil || r.Rounds() != 1 {
		t.Errorf("committed after the hook: %v, %d rounds", got, r.Rounds())
	}
	for _, step := range []string{"a=apple", "b=apple", "c=apple", "ok"} {
		r.do(t, step)
	}
	if got := r.Committed(); len(got) != 3 {
		t.Errorf("committed: %v", got)
	}
}

// The primary failed where others have voted for what it did not do, before anything had
// happened.
func TestVotes_primaryFailed(t *testing.T) {
	for name, tc := range map[string]struct {
		steps []string
		want  bool
	}{
		"it left, another release has voted":   {[]string{"d=apple", "a-"}, false},
		"it left, another release votes then":  {[]string{"a-", "d=apple"}, false},
		"it left, another has voted":           {[]string{"b=apple", "a-"}, true},
		"it left, another votes then":          {[]string{"a-", "b=apple"}, true},
		"it left after a harmless round":       {[]string{"a=synced", "b=synced", "c=synced", "d=synced", "ok", "b=apple", "a-"}, true},
		"it is outvoted":                       {[]string{"b=apple", "c=apple", "d=apple", "a=banana"}, true},
		"it is alone with its vote":            {[]string{"b=late", "c=apple", "d=apple", "a=banana"}, false},
		"it left, and nobody votes":            {[]string{"a-", "b-", "c-"}, false},
		"it left, another prepares":            {[]string{"a-", "b=early"}, false},
		"another is outvoted":                  {[]string{"a=apple", "b=banana", "c=apple"}, false},
		"it stopped, another votes then":       {[]string{"a!", "a-", "b=apple"}, false},
		"it was told to abort":                 {[]string{"abort", "a-", "b=apple"}, false},
		"it left after something had happened": {[]string{"a=apple", "b=apple", "c=apple", "d=apple", "ok", "b=late", "a-"}, false},
		"all went well":                        {[]string{"a=apple", "b=apple", "c=apple", "d=apple", "ok", "a-", "b-", "c-"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(Config{Voters: []string{"a", "b", "c", "d"}, OtherRelease: []string{"d"}})
			for _, step := range tc.steps {
				r.do(t, step)
			}
			if got := r.PrimaryFailed(); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

// Unlike names the storages that another release keeps from agreeing, and no others.
func TestVotes_unlikeAreOfAnotherRelease(t *testing.T) {
	r := newFixture(Config{Voters: []string{"a", "b", "c", "d", "e"}, OtherRelease: []string{"c", "d", "e"}, Copies: 1})
	for _, step := range []string{"b=banana", "c=banana", "d=late", "e=apple", "a=apple"} {
		r.do(t, step)
	}
	if got := strings.Join(r.Unlike(), " "); got != "d" {
		t.Errorf("got %q, want d: c votes as b does, which has the primary's release", got)
	}
}
