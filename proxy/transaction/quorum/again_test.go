package quorum

import (
	"strings"
	"testing"
	"time"
)

func TestVotes_again(t *testing.T) {
	repeatable, ordered := Config{Repeatable: true}, Config{Repeatable: true, Ordered: true}
	for _, tc := range []struct {
		name      string
		cfg       Config
		steps     []string
		agreed    string
		contended bool
		failed    bool
	}{
		{"another write has the primary's locks", repeatable, []string{
			"b=apple", "+249ms", "+1ms -> b ABORT", "+1s", "b?", "c?  -> c idle", "a=apple -> b runs", "c=apple", "b=apple -> account a,b,c",
			"ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c", true, false},
		{"its call ends after the primary's vote", repeatable, []string{
			"b=apple", "c=apple", "+250ms -> b ABORT; c ABORT", "a=apple", "c? -> c runs", "c=apple", "b? -> b runs", "b=apple -> account a,b,c",
			"ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c", true, false},
		{"it ends too late", repeatable, []string{
			"b=apple", "c=apple", "+250ms -> b ABORT; c ABORT", "c?", "a=apple -> c runs", "c=apple", "+12s -> account a,c without b",
			"b? -> b idle", "ok -> a COMMIT; c COMMIT",
		}, "a c", true, false},
		{"it votes otherwise then", repeatable, []string{
			"b=apple", "+250ms -> b ABORT", "b?", "a=apple -> b runs", "c=apple", "b=banana -> b ABORT; account a,c", "ok -> a COMMIT; c COMMIT",
		}, "a c", true, false},
		{"it is lost meanwhile", repeatable, []string{
			"b=apple", "+250ms -> b ABORT", "b-", "a=apple", "c=apple -> account a,c", "b? -> b idle", "ok -> a COMMIT; c COMMIT",
		}, "a c", true, false},
		{"it is lost when its call has ended", repeatable, []string{"b=apple", "+250ms -> b ABORT", "b?", "b- -> b idle", "a=apple", "c=apple -> account a,c"}, "", true, false},
		{"the vote of a call that does not count", repeatable, []string{
			"b=apple", "+250ms -> b ABORT", "b=apple -> b ABORT", "b=synced -> b ABORT", "a=apple", "b? -> b runs", "b=apple", "c=apple -> account a,b,c",
		}, "", true, false},
		{"after a hook", repeatable, []string{
			"a=synced", "b=synced", "c=synced -> account a,b,c harmless", "ok -> a COMMIT; b COMMIT; c COMMIT", "b=apple", "+250ms -> b ABORT",
			"b?", "a=apple -> b runs", "b=synced -> b COMMIT", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c", true, false},
		{"after a hook, of which it hears something else", repeatable, []string{
			"a=synced", "b=synced", "c=synced -> account a,b,c harmless", "ok -> a COMMIT; b COMMIT; c COMMIT", "b=apple", "+250ms -> b ABORT",
			"b?", "a=apple -> b runs", "b=banana -> b ABORT", "c=apple -> account a,c",
		}, "a c", true, false},
		{"something may have changed", repeatable, []string{
			"a=apple", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT", "b=banana", "c=banana", "+10s",
		}, "a b c", false, false},
		{"the call has taken long", repeatable, []string{"+9001ms", "b=apple", "+10s"}, "", false, false},
		{"another has not", repeatable, []string{"c=apple", "+250ms -> c ABORT", "+10s", "b=apple", "+1s -> b ABORT"}, "", false, false},
		{"the call has taken long, and another write waits", repeatable, []string{"+10s", "b=apple", "+1s", "b* -> b ABORT", "b*", "b?", "a=apple -> b runs"}, "", true, false},
		{"another write waits for the primary itself", repeatable, []string{"a=apple", "b=apple", "b*"}, "", false, false},
		{"another write gave locks up", repeatable, []string{"b=apple", "+10ms", "locks given up", "+9ms", "+1ms -> b ABORT", "c=apple", "+20ms -> c ABORT"}, "", false, false},
		{"another write gives locks up later", repeatable, []string{"b=apple", "+200ms", "locks given up -> b ABORT"}, "", false, false},
		{"the longer it takes the later", repeatable, []string{"+4s", "b=apple", "+249ms", "+1ms -> b ABORT"}, "", false, false},
		{"it does not say what it has locked", repeatable, []string{"b=unsaid", "+10s"}, "", false, false},
		{"it has locked nothing", repeatable, []string{"b=synced", "+10s"}, "", false, false},
		{"it cannot be sent again", repeatable, []string{"b#", "b=apple", "c=apple", "+250ms -> c ABORT"}, "", false, false},
		{"it cannot be sent again, after all", repeatable, []string{"b=apple", "+250ms -> b ABORT", "b?", "b# -> b idle", "a=apple", "c=apple -> account a,c"}, "", true, false},
		{"no call can be sent again", Config{}, []string{"b=apple", "+10s"}, "", false, false},
		{"the primary fails", repeatable, []string{"b=apple", "+250ms -> b ABORT", "b?", "a- -> b idle"}, "", false, true},
		{"the primary fails before its call has ended", repeatable, []string{"b=apple", "+250ms -> b ABORT", "a-", "b? -> b idle"}, "", false, true},
		{"the primary has nothing to do", repeatable, []string{"b=apple", "+250ms -> b ABORT", "b?", "a. -> b runs", "b."}, "", false, true},

		{"ordered", ordered, []string{
			"b?", "c?", "a=apple -> b runs; c runs", "b=apple", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
			"a=late", "b=late", "c=late -> account a,b,c",
		}, "a b c", false, false},
		{"ordered, with a hook", ordered, []string{
			"b?", "c?", "a=synced -> account a,b,c harmless", "ok -> a COMMIT", "a=apple -> b runs; c runs", "b=early -> b COMMIT", "b=synced -> b COMMIT",
			"b=apple", "c=synced -> c COMMIT", "c=apple -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT",
		}, "a b c", false, false},
		{"ordered, and the primary takes long", ordered, []string{"b?", "+2999ms", "+1ms -> b runs", "c? -> c runs", "b=apple"}, "", false, false},
		{"ordered, and the primary waits for locks for long", ordered, []string{
			"b?", "+3s -> b runs", "c? -> c runs", "+8s", "b=apple", "+688ms -> b ABORT", "c=apple", "+20ms -> c ABORT", "b?", "c?", "a=apple -> b runs; c runs",
		}, "", true, false},
		{"ordered, and too large", ordered, []string{"b?", "b# -> b runs", "c#", "c? -> c runs"}, "", false, false},
		{"ordered, the primary fails", ordered, []string{"b?", "a- -> b idle", "c? -> c idle"}, "", false, false},
		{"ordered, the primary has nothing to do", ordered, []string{"b?", "a. -> b runs", "c? -> c runs", "b.", "c."}, "", false, false},
		{"ordered, the primary has nothing to do after a hook", ordered, []string{
			"b?", "a=synced -> account a,b,c harmless", "ok -> a COMMIT", "a. -> b runs", "b=synced -> b COMMIT", "b.", "c? -> c runs",
		}, "a b c", false, false},
		{"ordered, another has something to do", ordered, []string{"b?", "a. -> b runs", "b=apple -> b ABORT"}, "", false, true},
		{"ordered, and ended from outside", ordered, []string{"b?", "abort -> b idle", "c? -> c idle", "a=apple -> a ABORT"}, "", false, false},
		{"ordered, and the primary halts", ordered, []string{"b?", "a! -> b idle"}, "", false, false},
		{"ordered, and refused by the ledger", ordered, []string{"b?", "a=synced -> account a,b,c harmless", "no -> a ABORT; b idle"}, "", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newFixture(tc.cfg)
			for _, step := range tc.steps {
				what, want, _ := strings.Cut(step, " -> ")
				if got := r.do(t, strings.TrimSpace(what)); got != want {
					t.Fatalf("%s: got %q, want %q", what, got, want)
				}
			}
			if got := strings.Join(r.Agreed(), " "); got != tc.agreed {
				t.Errorf("agreed: %q, want %q", got, tc.agreed)
			}
			if r.Contended() != tc.contended || r.PrimaryFailed() != tc.failed {
				t.Errorf("contended %t, failed %t", r.Contended(), r.PrimaryFailed())
			}
		})
	}
}

// A storage that gave its locks up gets its call again, once for each time, or gives the
// write up.
func TestVotes_repeats(t *testing.T) {
	gaveUp := []string{"b=apple", "+250ms", "b?"}
	for name, tc := range map[string]struct {
		ordered bool
		steps   []string
		repeats int
		givenUp bool
	}{
		"it keeps its locks":            {steps: []string{"b=apple", "a=apple", "c=apple"}},
		"it waits for the primary":      {steps: gaveUp, givenUp: true},
		"its call is sent again":        {steps: append(gaveUp[:3:3], "a=apple"), repeats: 1},
		"the primary has nothing to do": {steps: append(gaveUp[:3:3], "a."), repeats: 1},
		"the primary fails":             {steps: append(gaveUp[:3:3], "a-"), givenUp: true},
		"it is too large to be kept":    {steps: append(gaveUp[:3:3], "b#", "a=apple"), givenUp: true},
		"it was not sent before":        {ordered: true, steps: []string{"b?", "a=apple"}},
		"it was not sent, and gives up": {ordered: true, steps: []string{"b?", "+3s", "b=apple", "+2s", "b?", "a=apple"}, repeats: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(Config{Repeatable: true, Ordered: tc.ordered})
			for _, step := range tc.steps {
				r.do(t, step)
			}
			if repeats, givenUp := r.Repeats("b"); repeats != tc.repeats || givenUp != tc.givenUp {
				t.Errorf("sent again %d times, given up: %t", repeats, givenUp)
			}
		})
	}
}

func TestVotes_nextIsWhenLocksAreGivenUp(t *testing.T) {
	r := newFixture(Config{Repeatable: true, Ordered: true})
	r.do(t, "b?")
	if at, ok := r.Next(); !ok || at != 3*time.Second {
		t.Errorf("next, while the primary has no locks: %v, %v", at, ok)
	}
	r.do(t, "+3s")
	r.do(t, "b=apple")
	if at, ok := r.Next(); !ok || at != 3250*ms {
		t.Errorf("next, while another has them: %v, %v", at, ok)
	}
	r.do(t, "+250ms")
	if at, ok := r.Next(); ok {
		t.Errorf("next, when it has given them up: %v", at)
	}
}
