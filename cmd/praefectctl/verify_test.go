package main

import (
	"errors"
	"testing"

	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

func TestVerify_oneRepository(t *testing.T) {
	i := newInstance(t)
	replicas := func(result admin.ReplicaResult) admin.VerifyResponse {
		return admin.VerifyResponse{Primary: "gitaly-1", Replicas: []admin.VerifiedReplica{
			{Storage: "gitaly-1", Result: admin.ReplicaAlike, Checked: true}, {Storage: "gitaly-2", Result: result},
		}}
	}
	i.SetVerified("alike.git", replicas(admin.ReplicaAlike))
	i.SetVerified("differs.git", replicas(admin.ReplicaDiffers))
	i.SetVerified("away.git", replicas(admin.ReplicaUnknown))
	i.SetVerified("behind.git", replicas(admin.ReplicaSkipped))
	i.SetVerified("busy.git", admin.VerifyResponse{Undecided: "it was written at each of 4 looks"})
	for path, code := range map[string]int{
		"alike.git": 0, "differs.git": exitDegraded, "away.git": exitDegraded, "behind.git": 0, "busy.git": exitError, "none.git": exitError,
	} {
		got := i.ctl("verify", path)
		if got.code != code || (got.stdout == "") != (path == "none.git") {
			t.Errorf("%s: got %+v, want the code %d", path, got, code)
		}
	}
	answer := document[admin.VerifyResponse](t, i.ctl("-o", "json", "verify", "-virtual-storage", "default", "differs.git"), exitDegraded)
	if answer.Replicas[1].Result != "differs" || answer.RelativePath != "differs.git" {
		t.Errorf("got %+v", answer)
	}
}

func TestVerify_many(t *testing.T) {
	i := newInstance(t)
	i.SetRepositories(7, nil)
	const plan = "default: repositories to compare on all storages: 7, one at a time, before all others; repairs go first\n"
	got := i.ctl("verify", "-all")
	want := outcome{0, "* repositories looked at: 7; no replica differs\n", plan + "  repositories to go: 1 of 7\n"}
	if got != want {
		t.Errorf("none differs: got %+v\nwant %+v", got, want)
	}
	i.SetRepositories(7, nil, hooked)
	i.ctl("verify", "-storage", "gitaly-2").ends(t, exitDegraded, "its references differ", "replicas that differ: 1") // a replica differs
	// One that was found before is not said again.
	i.ctl("-o", "json", "verify", "-all").ends(t, 0, `"differences": []`) // again
	i.SetRepositories(7, errors.New("postgres is stopped"))
	i.ctl("verify", "-all").fails(t, exitUnavailable, "postgres is stopped") // without Postgres
}

func TestVerify_asks(t *testing.T) {
	i := newInstance(t)
	i.SetRepositories(7, nil)
	address := i.serve(t)
	(operator{asked: true, types: "n\n"}).run(t, "-endpoints", address, "verify", "-all").fails(t, exitRefused, "Proceed? [y/N]") // the answer to the question is no
	(operator{asked: true}).run(t, "-endpoints", address, "verify", "-all", "-y").ends(t, 0)                                      // with -y
}

func TestVerify_wantsOneThing(t *testing.T) {
	i := newInstance(t)
	i.Define("other", "gitaly-1", "gitaly-9")
	for _, args := range [][]string{
		{}, {"-all", "a.git"}, {"-storage", "gitaly-1", "a.git"}, {"-all", "-storage", "gitaly-1"}, {"a.git", "b.git"}, {"-storage", "gitaly-1"}, {"a.git"},
	} {
		if got := i.ctl(append([]string{"verify"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: got %+v", args, got)
		}
	}
	for _, args := range [][]string{{"-virtual-storage", "v", "a.git"}, {"-virtual-storage", "v", "-all"}, {"-virtual-storage", admintest.VirtualStorage, "-storage", "gitaly-9"}} {
		if got := i.ctl(append([]string{"verify"}, args...)...); got.code != exitError {
			t.Errorf("%v: got %+v", args, got)
		}
	}
}
