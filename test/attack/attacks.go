package main

import (
	"context"
	"time"
)

// attack is one way to do harm.
type attack struct {
	name string
	// all tells that every instance is attacked; else the one that leads is.
	all bool
	// lasts bounds it; 0 is ten seconds.
	lasts time.Duration
	run   func(context.Context, *harness) error
}

func (a attack) bound() time.Duration {
	if a.lasts == 0 {
		return 10 * time.Second
	}
	return a.lasts
}

// attacks are all of them: by a stranger, by a client with the token, by a storage.
func attacks() []attack {
	return []attack{
		{name: "none", run: nothing},
		{name: "rapid-reset", run: rapidReset(false)},
		{name: "rapid-reset-with-token", run: rapidReset(true)},
		{name: "rejected-with-deadline", run: rejectedWithDeadline},
		{name: "ping-flood", run: pingFlood},
		{name: "ping-flood-everywhere", all: true, run: pingFlood},
		{name: "announced-frames", run: announcedFrames},
		{name: "unfinished-messages", run: unfinishedMessages},
		{name: "health-watch", run: healthWatch},
		{name: "silent-clients", lasts: 15 * time.Second, run: silentClients},
		{name: "half-open-tls", lasts: 40 * time.Second, run: halfOpenTLS},
		{name: "silent-raft-ports", all: true, run: silentPeers},
		{name: "long-headers", run: longHeaders},
		{name: "invented-methods", lasts: time.Minute, run: inventedMethods},
		{name: "senseless-removals", lasts: time.Minute, run: senselessRemovals},
		{name: "endless-deadlines", lasts: 30 * time.Second, run: endlessDeadlines},
		{name: "slow-readers", lasts: time.Minute, run: slowReaders},
		{name: "hostile-storage-streams", all: true, run: hostileStreams},
		{name: "hostile-storage-statuses", all: true, run: hostileStatuses},
	}
}

// nothing is there to compare with.
func nothing(ctx context.Context, _ *harness) error {
	<-ctx.Done()
	return nil
}
