package workload

import (
	"context"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
)

func set(client, began, ended int, value string) Operation {
	return Operation{Set: true, Value: value, Began: at(began), Ended: at(ended), client: client}
}

func perhaps(client, began, ended int, value string) Operation {
	o := set(client, began, ended, value)
	o.Unknown = true
	return o
}

func read(client, began, ended int, value string) Operation {
	return Operation{Value: value, Began: at(began), Ended: at(ended), client: client}
}

func TestLinearizable(t *testing.T) {
	for _, row := range []struct {
		name    string
		history []Operation
		want    bool
	}{
		{"nothing was set", []Operation{read(1, 0, 1, "")}, true},
		{"what was set is read", []Operation{set(1, 0, 10, "a"), read(2, 11, 12, "a")}, true},
		{"an old value after the acknowledgement", []Operation{set(1, 0, 10, "a"), read(2, 11, 12, "")}, false},
		{"an old value during the set", []Operation{set(1, 0, 10, "a"), read(2, 5, 6, "")}, true},
		{"new and then old", []Operation{set(1, 0, 10, "a"), read(2, 3, 4, "a"), read(3, 5, 6, "")}, false},
		{"two at a time, in either order", []Operation{set(1, 0, 10, "a"), set(2, 0, 10, "b"), read(3, 11, 12, "a")}, true},
		{"what failed may never come", []Operation{perhaps(1, 0, 10, "a"), read(2, 11, 12, "")}, true},
		{"what failed may come late", []Operation{perhaps(1, 0, 10, "a"), read(2, 11, 12, ""), read(2, 50, 51, "a")}, true},
		{"what failed may not come twice", []Operation{
			perhaps(1, 0, 10, "a"), read(2, 11, 12, "a"), set(2, 20, 30, "b"), read(2, 40, 41, "b"), read(2, 50, 51, "a"),
		}, false},
		{"what failed does not come and go", []Operation{perhaps(1, 0, 10, "a"), read(2, 11, 12, "a"), read(2, 13, 14, "")}, false},
		{"what is set over does not come back", []Operation{set(1, 0, 10, "a"), set(1, 11, 12, "b"), read(2, 13, 14, "a")}, false},
		{"what nobody set", []Operation{set(1, 0, 10, "a"), read(2, 11, 12, "b")}, false},
	} {
		if err := Linearizable("", row.history); (err == nil) != row.want {
			t.Errorf("%s: got %v, want it to be sound: %v", row.name, err, row.want)
		}
	}
}

func TestRegisters_areSetAndReadThroughEveryInstance(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seeds, err := NewSeeds(ctx, t.TempDir(), 2)
	must.Succeed(t, err)
	c := cluster.Run(t, cluster.Options{Binaries: programs, Instances: 3, Disk: seeds.Disk})
	registers, err := StartRegisters(ctx, c, RegistersConfig{VirtualStorage: "default", Paths: seeds.Paths(), Values: seeds.Values()})
	must.Succeed(t, err)
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

func TestLinearizable_beginsWithWhatWasThere(t *testing.T) {
	history := []Operation{read(1, 0, 1, "before"), set(2, 2, 3, "a"), read(1, 4, 5, "a")}
	if err := Linearizable("before", history); err != nil {
		t.Error(err)
	}
	if err := Linearizable("", history); err == nil {
		t.Error("a read of what was never there is no fault")
	}
}
