package main

import (
	"slices"
	"testing"
	"time"

	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

func withJobs(t *testing.T) *instance {
	i := newInstance(t)
	due := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	i.SetJobs([]admin.Job{
		{ID: 1, VirtualStorage: "default", RelativePath: "a.git", Target: "gitaly-2", State: "failed", Attempt: 2, Error: "no route", NotBefore: due, WaitsFor: &admin.Waiting{Reason: "in-doubt-intent", LeftMillis: 9400}},
		{ID: 2, VirtualStorage: "default", RelativePath: "b.git", Target: "gitaly-2", State: "in_progress", Attempt: 1, NotBefore: due},
		{ID: 3, VirtualStorage: "default", RelativePath: "c.git", Target: "gitaly-2", State: "dead", Attempt: 10, Error: "broken", NotBefore: due},
	}, nil)
	return i
}

func TestQueueList_table(t *testing.T) {
	praefectctl(t, nil, "-endpoints", withJobs(t).serve(t), "queue", "list").is(t, outcome{0, `   ID  VIRTUAL STORAGE  REPOSITORY  TARGET    STATE        ATTEMPT  DUE                   WAITS FOR                                                ERROR
!  1   default          a.git       gitaly-2  failed       2        2026-01-02T03:04:05Z  a late effect of what a retired instance began, 9s left  no route
~  2   default          b.git       gitaly-2  in_progress  1
x  3   default          c.git       gitaly-2  dead         10                                                                                      broken

jobs: 3
`, ""})
	praefectctl(t, nil, "-endpoints", newInstance(t).serve(t), "queue", "list").is(t, outcome{0, "* no jobs\n", ""}) // no jobs
}

func TestQueueList_chooses(t *testing.T) {
	i := withJobs(t)
	address := i.serve(t)
	for _, row := range []struct {
		args []string
		ids  []int64
		more bool
	}{
		{nil, []int64{1, 2, 3}, false},
		{[]string{"-limit", "0"}, []int64{1, 2, 3}, false},
		{[]string{"-limit", "2"}, []int64{1, 2}, true},
		{[]string{"-state", "dead"}, []int64{3}, false},
		{[]string{"-repository", "b.git"}, []int64{2}, false},
	} {
		listed := praefectctl(t, nil, append([]string{"-endpoints", address, "-o", "json", "queue", "list"}, row.args...)...)
		answer := document[admin.QueueListResponse](t, listed, 0)
		if ids := each(answer.Jobs, func(j admin.Job) int64 { return j.ID }); answer.More != row.more || !slices.Equal(ids, row.ids) {
			t.Errorf("%v: got %+v", row.args, answer)
		}
	}
	praefectctl(t, nil, "-endpoints", address, "queue", "list", "-limit", "-1").fails(t, exitUsage) // a negative limit
	i.SetJobs(nil, admintest.ErrQueue)
	got := praefectctl(t, nil, "-endpoints", address, "queue", "list")
	if got.code != exitUnavailable || got.stderr != "praefectctl: ask tcp://"+address+": queue unavailable: connection refused\n" {
		t.Errorf("without Postgres: got %+v", got)
	}
}
