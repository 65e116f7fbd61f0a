package workload

import (
	"context"
	"testing"
	"time"

	"praefect/test/cluster"
)

func set(client, began, ended int, value string) operation {
	return operation{client: client, set: true, value: value, began: at(began), ended: at(ended)}
}

func perhaps(client, began, ended int, value string) operation {
	o := set(client, began, ended, value)
	o.unknown = true
	return o
}

func read(client, began, ended int, value string) operation {
	return operation{client: client, value: value, began: at(began), ended: at(ended)}
}

func TestJudge(t *testing.T) {
	for _, row := range []struct {
		name    string
		history []operation
		want    bool
	}{
		{"nothing was set", []operation{read(1, 0, 1, "")}, true},
		{"what was set is read", []operation{set(1, 0, 10, "a"), read(2, 11, 12, "a")}, true},
		{"an old value after the acknowledgement", []operation{set(1, 0, 10, "a"), read(2, 11, 12, "")}, false},
		{"an old value during the set", []operation{set(1, 0, 10, "a"), read(2, 5, 6, "")}, true},
		{"new and then old", []operation{set(1, 0, 10, "a"), read(2, 3, 4, "a"), read(3, 5, 6, "")}, false},
		{"two at a time, in either order", []operation{set(1, 0, 10, "a"), set(2, 0, 10, "b"), read(3, 11, 12, "a")}, true},
		{"what failed may never come", []operation{perhaps(1, 0, 10, "a"), read(2, 11, 12, "")}, true},
		{"what failed may come late", []operation{perhaps(1, 0, 10, "a"), read(2, 11, 12, ""), read(2, 50, 51, "a")}, true},
		{"what failed may not come twice", []operation{
			perhaps(1, 0, 10, "a"), read(2, 11, 12, "a"), set(2, 20, 30, "b"), read(2, 40, 41, "b"), read(2, 50, 51, "a"),
		}, false},
		{"what nobody set", []operation{set(1, 0, 10, "a"), read(2, 11, 12, "b")}, false},
	} {
		if err := judge(row.history, at(0)); (err == nil) != row.want {
			t.Errorf("%s: got %v, want it to be sound: %v", row.name, err, row.want)
		}
	}
}

func TestRegisters_areSetAndReadThroughEveryInstance(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seeds, err := NewSeeds(ctx, t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Run(t, cluster.Options{Binaries: programs, Instances: 3, Disk: seeds.Disk})
	registers, err := StartRegisters(ctx, c, RegistersConfig{VirtualStorage: "default", Paths: seeds.Paths(), Values: seeds.Values()})
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for registers.Sets() < 20 || registers.Reads() < 20 {
		select {
		case <-ctx.Done():
			t.Fatalf("%d sets and %d reads", registers.Sets(), registers.Reads())
		case <-tick.C:
		}
	}
	registers.Stop()
	if err := registers.Check(); err != nil {
		t.Error(err)
	}
}
