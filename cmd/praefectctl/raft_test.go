package main

import (
	"strings"
	"testing"

	"praefect/proxy/admin"
)

func TestRaftStatus_table(t *testing.T) {
	healthy := newInstance(t)
	degraded := newInstance(t)
	degraded.Raft(func(v *admin.RaftView) {
		contact := int64(252_000)
		v.Instances[2] = admin.Instance{
			Name: "praefect-3", ID: "id-3", Addr: "10.0.0.3:2307", State: admin.Unreachable, Voter: true, Version: "1.2.2",
			LastContactMillis: &contact, AppliedIndex: 17903, Behind: 539, Error: "connection refused",
		}
		v.Instances = append(v.Instances, admin.Instance{Name: "praefect-4", ID: "id-4", Addr: "10.0.0.4:2307", State: admin.Joining, Version: "1.2.3"})
	})
	alone := newInstance(t)
	alone.Raft(func(v *admin.RaftView) {
		v.Leader, v.OwnView = "", true
		v.Instances = v.Instances[:1]
		v.Instances[0].State, v.Instances[0].LastContactMillis, v.Instances[0].LeaseMillis = admin.Candidate, nil, 0
	})
	unreached := newInstance(t)
	unreached.Raft(func(v *admin.RaftView) {
		v.Leader, v.OwnView, v.Instances = "praefect-2", true, v.Instances[:1]
		v.Instances[0].State = admin.Follower
	})
	for _, row := range []struct {
		name     string
		instance *instance
		code     int
		want     string
	}{
		{"the leader is not reached", unreached, 4, `
cluster cluster  term 7  commit 18442  leader praefect-2  feature level 1
   INSTANCE    STATE     VOTER  VERSION  LAST CONTACT  APPLIED  BEHIND  LEASE  ADDRESS
*  praefect-1  follower  yes    1.2.3    0s            18442    0       800ms  10.0.0.1:2307
x no-leader: praefect-1 reaches no leader: nothing can be changed, and writes stop when the leases end
  run-book: docs/operations/conditions.md#no-leader

1/1 voters, no quorum known, can lose 0; answered by praefect-1
`},
		{"healthy", healthy, 0, `
cluster cluster  term 7  commit 18442  leader praefect-1  feature level 1
   INSTANCE    STATE     VOTER  VERSION  LAST CONTACT  APPLIED  BEHIND  LEASE  ADDRESS
*  praefect-1  leader    yes    1.2.3    -             18442    0       800ms  10.0.0.1:2307
*  praefect-2  follower  yes    1.2.3    12ms          18442    0       800ms  10.0.0.2:2307
*  praefect-3  follower  yes    1.2.3    40ms          18442    0       800ms  10.0.0.3:2307

3/3 voters, quorum ok, can lose 1; answered by praefect-1
`},
		{"degraded", degraded, 3, `
cluster cluster  term 7  commit 18442  leader praefect-1  feature level 1
   INSTANCE    STATE        VOTER  VERSION  LAST CONTACT  APPLIED  BEHIND  LEASE  ADDRESS        PROBLEM
*  praefect-1  leader       yes    1.2.3    -             18442    0       800ms  10.0.0.1:2307
*  praefect-2  follower     yes    1.2.3    12ms          18442    0       800ms  10.0.0.2:2307
x  praefect-3  unreachable  yes    1.2.2    4m12s         17903    539     none   10.0.0.3:2307  connection refused
~  praefect-4  joining      no     1.2.3    ?             0        0       none   10.0.0.4:2307
! cannot-lose-any: 2 of 3 voters answer and 2 are needed: the cluster can lose 0 of them
  run-book: docs/operations/conditions.md#cannot-lose-any
! instance-away: the leader praefect-1 does not hear praefect-3
  run-book: docs/operations/conditions.md#instance-away
~ versions-differ: the instances run different versions: 1.2.2 (praefect-3), 1.2.3 (praefect-1, praefect-2, praefect-4)
  run-book: docs/operations/conditions.md#versions-differ

2/3 voters, quorum ok, can lose 0; answered by praefect-1
`},
		{"nobody leads", alone, 4, `
cluster cluster  term 7  commit 18442  leader none  feature level 1
   INSTANCE    STATE      VOTER  VERSION  LAST CONTACT  APPLIED  BEHIND  LEASE  ADDRESS
!  praefect-1  candidate  yes    1.2.3    ?             18442    0       none   10.0.0.1:2307
x no-leader: praefect-1 reaches no leader: nothing can be changed, and writes stop when the leases end
  run-book: docs/operations/conditions.md#no-leader

1/1 voters, no quorum known, can lose 0; answered by praefect-1
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := praefectctl(t, nil, "-endpoints", row.instance.serve(t), "raft", "status")
			if got.code != row.code || "\n"+got.stdout != row.want || got.stderr != "" {
				t.Errorf("got %d, %s\n%swant\n%s", got.code, got.stderr, got.stdout, row.want)
			}
		})
	}
}

func TestRaftStatus_json(t *testing.T) {
	i := newInstance(t)
	i.Raft(func(v *admin.RaftView) { v.Instances = v.Instances[:2]; v.Instances[1].LastContactMillis = nil })
	i.ctl("-o", "json", "raft", "status").is(t, outcome{3, `{
  "schema": 1,
  "instance": "praefect-1",
  "cluster_id": "cluster",
  "term": 7,
  "commit_index": 18442,
  "leader": "praefect-1",
  "feature_level": 1,
  "instances": [
    {
      "name": "praefect-1",
      "id": "id-1",
      "addr": "10.0.0.1:2307",
      "client_addr": "10.0.0.1:2305",
      "state": "leader",
      "voter": true,
      "version": "1.2.3",
      "feature_level": 1,
      "last_contact_ms": 0,
      "applied_index": 18442,
      "behind": 0,
      "lease_ms": 800
    },
    {
      "name": "praefect-2",
      "id": "id-2",
      "addr": "10.0.0.2:2307",
      "client_addr": "10.0.0.2:2305",
      "state": "follower",
      "voter": true,
      "version": "1.2.3",
      "feature_level": 1,
      "last_contact_ms": null,
      "applied_index": 18442,
      "behind": 0,
      "lease_ms": 800
    }
  ],
  "can_lose": 0,
  "health": "degraded",
  "conditions": [
    {
      "name": "cannot-lose-any",
      "level": "degraded",
      "text": "2 of 2 voters answer and 2 are needed: the cluster can lose 0 of them",
      "run_book": "docs/operations/conditions.md#cannot-lose-any"
    }
  ]
}
`, ""})
}

func TestRaftPeers(t *testing.T) {
	i := newInstance(t)
	i.Raft(func(v *admin.RaftView) { v.Instances = v.Instances[:2] })
	i.ctl("raft", "peers").is(t, outcome{3, `   INSTANCE    ID    RAFT ADDRESS   CLIENT ADDRESS  VOTER  STATE
*  praefect-1  id-1  10.0.0.1:2307  10.0.0.1:2305   yes    leader
*  praefect-2  id-2  10.0.0.2:2307  10.0.0.2:2305   yes    follower

instances: 2; answered by praefect-1
`, ""})
	got := i.ctl("-o", "json", "raft", "peers")
	if !strings.Contains(got.stdout, `"leader": "praefect-1",
  "peers": [
    {
      "name": "praefect-1",
      "id": "id-1",
      "addr": "10.0.0.1:2307",
      "client_addr": "10.0.0.1:2305",
      "voter": true,
      "state": "leader"
    },`) {
		t.Errorf("got %+v", got)
	}
}

func TestRaft_changes(t *testing.T) {
	i := newInstance(t)
	address := i.serve(t)
	for _, row := range []struct {
		args []string
		want outcome
	}{
		{[]string{"add", "praefect-4", "10.0.0.4:2307"}, outcome{0, "* praefect-4 is a member of the cluster; answered by praefect-1\n  it takes part as a non-voter now, and votes once it has caught up\n", ""}},
		{[]string{"add", "praefect-4", "10.0.0.4:2307"}, outcome{0, "* praefect-4 is a member of the cluster already; nothing was changed; answered by praefect-1\n", ""}},
		{[]string{"remove", "praefect-1"}, outcome{5, "", "praefectctl: ask tcp://" + address + ": praefect-1 leads: first praefectctl raft transfer\n"}},
		{[]string{"transfer"}, outcome{0, "* leadership was handed over to another instance; answered by praefect-1\n  praefect-2 leads\n", ""}},
		{[]string{"transfer", "praefect-3"}, outcome{0, "* leadership was handed over to praefect-3; answered by praefect-1\n  praefect-3 leads\n", ""}},
		{[]string{"remove", "praefect-4"}, outcome{0, "* praefect-4 is no member of the cluster; answered by praefect-1\n  it never comes back under its former id: to take part again it begins with an empty raft.data_dir\n", ""}},
		{[]string{"remove", "praefect-4"}, outcome{1, "", "praefectctl: ask tcp://" + address + ": no instance \"praefect-4\"\n"}},
		{[]string{"add", "praefect-4", "nowhere"}, outcome{2, "", "praefectctl: ask tcp://" + address + ": \"nowhere\" is no address of a Raft port: want HOST:PORT\n"}},
		{[]string{"add", "praefect-4"}, outcome{2, "", "praefectctl: praefectctl raft add: HOST:PORT is missing\n"}},
		{[]string{"transfer", "a", "b"}, outcome{2, "", "praefectctl: praefectctl raft transfer: \"b\" is one argument too many\n"}},
	} {
		praefectctl(t, nil, append([]string{"-endpoints", address, "raft"}, row.args...)...).is(t, row.want)
	}
	operator{types: "n\n", asked: true}.run(t, "-no-color", "-endpoints", address, "raft", "remove", "praefect-2").is(t, outcome{exitRefused, "", "praefect-2 (follower, voter) goes out of the cluster\n  ! 2 of 3 voters are left, and 2 answer: none of them may fail then\nProceed? [y/N] praefectctl: not confirmed: nothing was changed\n"}) // the answer to the question is no
}
