package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"praefect/proxy/admin"
)

// fails makes the first changes of an instance end with these errors, after
// they have taken effect if done is set.
func (i *instance) fails(done bool, errs ...error) *instance {
	i.At = func(_ context.Context, _ string, stage admin.Stage) (bool, error) {
		if len(errs) == 0 || stage != admin.StagePlan {
			return true, nil
		}
		err := errs[0]
		errs = errs[1:]
		return done, err
	}
	return i
}

// requestIDs are the ids of the changes that an instance was asked for.
func (i *instance) requestIDs() map[string]int {
	ids := map[string]int{}
	for _, c := range i.Asked() {
		ids[c.RequestID]++
	}
	return ids
}

func TestCarryOut_asksTheNextWithTheSameID(t *testing.T) {
	lost := admin.Errorf(admin.OutcomeUnknown, "leadership was lost on the way")
	for _, row := range []struct {
		name string
		errs []error
		done bool
		asks int
	}{
		{"nobody leads for a moment", []error{admin.Errorf(admin.NoLeader, "nobody leads"), admin.Errorf(admin.NoLeader, "nobody leads")}, false, 3},
		{"the instance stops", []error{admin.Errorf(admin.Canceled, "stopping")}, false, 2},
		{"unknown, and it was not done", []error{lost}, false, 2},
		{"unknown, but it was done", []error{lost}, true, 2},
		{"not an error of a Control", []error{errors.New("what is that?")}, true, 2},
	} {
		i := newInstance(t).fails(row.done, row.errs...)
		endpoints := strings.Join([]string{closedPort(t), i.serve(t), i.serveAs(t, "praefect-2", "tcp", "127.0.0.1:0", admin.Access{Peers: true})}, ",")
		epoch := i.View().Index
		got := praefectctl(t, nil, "-endpoints", endpoints, "pause")
		if got.code != 0 || i.View().Index != epoch+1 {
			t.Errorf("%s: got %+v, %d commands", row.name, got, i.View().Index-epoch)
		}
		if ids := i.requestIDs(); len(ids) != 1 {
			t.Errorf("%s: more than one id: %v", row.name, ids)
		} else {
			for _, n := range ids {
				if n != row.asks {
					t.Errorf("%s: asked %d times, want %d", row.name, n, row.asks)
				}
			}
		}
	}
}

// An instance that dies in the middle of a switchover leaves the rest of it to
// the next one.
func TestCarryOut_switchover(t *testing.T) {
	i := newInstance(t).fails(true, admin.Errorf(admin.OutcomeUnknown, "the leader is gone"))
	endpoints := i.serve(t) + "," + i.serveAs(t, "praefect-2", "tcp", "127.0.0.1:0", admin.Access{Peers: true})
	praefectctl(t, nil, "-endpoints", endpoints, "promote", "gitaly-2").ends(t, 0, "answered by praefect-2")
	if ids := i.requestIDs(); len(ids) != 1 {
		t.Errorf("more than one id: %v", ids)
	}
}

// TestProgram_exitCodesOfChanges goes through everything that can become of a
// change.
func TestProgram_exitCodesOfChanges(t *testing.T) {
	forever := func(err error) []error { return slices.Repeat([]error{err}, 100) }
	for _, row := range []struct {
		name string
		errs []error
		code int
		text string
	}{
		{"done", nil, 0, ""},
		{"invalid", []error{admin.Errorf(admin.Invalid, "no")}, 2, ""},
		{"not found", []error{admin.Errorf(admin.NotFound, "no")}, 1, ""},
		{"denied", []error{admin.Errorf(admin.Denied, "no")}, 1, ""},
		{"refused", []error{admin.Errorf(admin.Refused, "the last one")}, 5, "the last one"},
		{"nobody leads", forever(admin.Errorf(admin.NoLeader, "nobody leads")), 4, "nobody leads"},
		{"not available", []error{admin.Errorf(admin.NotAvailable, "no queue")}, 4, ""},
		{"unknown", forever(admin.Errorf(admin.OutcomeUnknown, "lost")), 6, "repeat the command with -request-id again"},
		{"unknown, then no", []error{admin.Errorf(admin.OutcomeUnknown, "lost"), admin.Errorf(admin.Refused, "not now")}, 6, "not now"},
		{"too slow", []error{admin.Errorf(admin.TimedOut, "not caught up in time")}, 7, "not caught up in time"},
	} {
		i := newInstance(t).fails(false, row.errs...)
		timeout := "30s"
		if len(row.errs) > 2 { // goes on until the end
			timeout = "4s"
		}
		got := i.ctl("-timeout", timeout, "pause", "-request-id", "again")
		if got.code != row.code || !strings.Contains(got.stderr, row.text) {
			t.Errorf("%s: got %+v", row.name, got)
		}
	}
	praefectctl(t, nil, "-endpoints", closedPort(t), "pause").fails(t, exitUnavailable, "refused") // no instance there
}

// An instance that hangs costs its share of the time, and leaves the outcome
// open only until another one tells.
func TestCarryOut_hangingInstance(t *testing.T) {
	hangs, well := newInstance(t), newInstance(t)
	hangs.At = func(ctx context.Context, _ string, _ admin.Stage) (bool, error) {
		<-ctx.Done()
		return false, ctx.Err()
	}
	praefectctl(t, nil, "-endpoints", hangs.serve(t)+","+well.serve(t), "-timeout", "4s", "pause").ends(t, 0)
	praefectctl(t, nil, "-endpoints", hangs.serve(t), "-timeout", "3s", "pause").fails(t, exitUnknown) // alone
}

func TestCarryOut_interrupted(t *testing.T) {
	silent := silentPort(t)
	ctx, ctrlC := context.WithCancel(t.Context())
	ctrlC()
	(operator{ctx: ctx}).run(t, "-endpoints", silent, "pause").fails(t, exitInterrupted) // before there was a connection
	i := newInstance(t)
	ctx, ctrlC = context.WithCancel(t.Context())
	i.At = func(ctx context.Context, _ string, _ admin.Stage) (bool, error) {
		ctrlC()
		<-ctx.Done()
		return true, nil
	}
	operator{ctx: ctx}.run(t, "-endpoints", i.serve(t), "pause").fails(t, exitUnknown, "-request-id") // under way
}

// What all instances say is said once, with all their addresses.
func TestCarryOut_saysOnceWhatAllSay(t *testing.T) {
	i := newInstance(t)
	i.Raft(func(v *admin.RaftView) { v.Leader = "" })
	one, other := i.serve(t), i.serveAs(t, "praefect-2", "tcp", "127.0.0.1:0", admin.Access{Peers: true})
	got := praefectctl(t, nil, "-endpoints", one+","+other, "-timeout", "1s", "pause")
	want := "praefectctl: ask tcp://" + one + ", tcp://" + other + ": nobody leads\n"
	if got.code != exitUnavailable || got.stderr != want {
		t.Errorf("got %+v, want %q", got, want)
	}
}

// Without a name in the environment the history names the system's user.
func TestChange_namesTheAccount(t *testing.T) {
	i := newInstance(t)
	for user, want := range map[string]string{"": "uid 0@desk", "alice": "alice@desk"} {
		if got := praefectctl(t, map[string]string{"USER": user}, "-endpoints", i.serve(t), "pause"); got.code != 0 {
			t.Fatalf("got %+v", got)
		}
		history := i.View().VirtualStorages[0].History
		if by := history[len(history)-1].By; by != want {
			t.Errorf("USER=%q: got %q, want %q", user, by, want)
		}
	}
	if name := account(); name == "" || strings.Contains(name, "somebody") {
		t.Errorf("the account of this process is %q", name)
	}
}
