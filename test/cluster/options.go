package cluster

import (
	"context"
	"fmt"

	"praefect/test/place"
	"praefect/test/postgres"
)

// Options describe a cluster. Only Binaries is required; the rest of the zero
// value is one instance in front of the virtual storage "default" with the
// storages gitaly-1 to gitaly-3, and a Postgres of its own.
type Options struct {
	// Binaries are the programs to run.
	Binaries Binaries
	// Dir holds configuration, state, repositories and logs. Empty: a temporary
	// directory that Stop removes. Otherwise it is made when missing, and kept.
	Dir string
	// VirtualStorages are the virtual storages that clients see, and the storages behind it.
	VirtualStorages []VirtualStorage
	// Instances is how many instances there are: 0 or 1 for one that stands alone,
	// else they form one Raft cluster.
	Instances int
	// Balancer puts HAProxy in front of the instances, of which it knows three.
	Balancer bool
	// Gitaly is a real one for the storages. Nil: test-gitaly.
	Gitaly *Gitaly
	// Settings is TOML laid over the generated configuration of every instance:
	// tables are merged key by key, anything else, arrays too, is replaced.
	Settings string
	// Env are further variables ("NAME=value") of every instance, in all its lives.
	Env []string
	// Console serves the web console at every instance.
	Console bool
	// ClientAddr is where clients come in, at the balancer or the first instance, if
	// nothing else listens there. Empty or taken: a free port.
	ClientAddr string

	// Place says where the process with a label runs: "postgres", "haproxy", an
	// instance or a storage. It is asked once for each. Nil: all run on the loopback
	// address.
	Place func(ctx context.Context, label string) (place.Place, error)
	// Disk puts repositories into the directory of each storage before it starts; as
	// all storages of a new virtual storage count as equal, they must be. Nil: they
	// begin empty.
	Disk func(ctx context.Context, virtualStorage, dir string) error
	// RaftDir is the directory of an instance's replicated state, by its label; it
	// must exist. Nil, or empty: one within Dir.
	RaftDir func(label string) string

	// Postgres is a running server that clusters share, each with a database of
	// its own; Stop leaves it. Nil: a server of the cluster's own.
	Postgres *postgres.Server
	// PostgresTLS lets the cluster's own server refuse connections without TLS and
	// client certificate.
	PostgresTLS bool
	// WithoutPostgres starts the instances while their Postgres is down: it is
	// prepared and stopped before, and their settings let them begin without it.
	// Cluster.Postgres.Start brings it up.
	WithoutPostgres bool

	// Detached leaves all processes running when their owner ends, with Postgres
	// in Dir, which must then be given. The caller that sets it ends them.
	Detached bool
	// Progress is called after each step of the start with the process that serves now and
	// its address. Nil: no call.
	Progress func(what, addr string)
}

// VirtualStorage is the name that clients use and its storages. Storages of one
// name in two virtual storages are two servers.
type VirtualStorage struct {
	Name     string
	Storages []string
}

// Numbered is a virtual storage with the storages gitaly-1 to gitaly-n.
func Numbered(name string, n int) VirtualStorage {
	v := VirtualStorage{Name: name}
	for i := range n {
		v.Storages = append(v.Storages, fmt.Sprintf("gitaly-%d", i+1))
	}
	return v
}

func (o *Options) applyDefaults() {
	if len(o.VirtualStorages) == 0 {
		o.VirtualStorages = []VirtualStorage{Numbered("default", 3)}
	}
	o.Instances = max(o.Instances, 1)
	if o.Place == nil {
		o.Place = func(context.Context, string) (place.Place, error) { return place.Place{}, nil }
	}
	if o.Disk == nil {
		o.Disk = func(context.Context, string, string) error { return nil }
	}
	if o.RaftDir == nil {
		o.RaftDir = func(string) string { return "" }
	}
	if o.Progress == nil {
		o.Progress = func(string, string) {}
	}
}

func (o *Options) check() error {
	switch {
	case o.Binaries == "":
		return fmt.Errorf("start a cluster: no programs given: see Build")
	case o.Detached && o.Dir == "":
		return fmt.Errorf("start a cluster: a detached one needs a directory")
	case o.Balancer && o.Instances > balanced:
		return fmt.Errorf("start a cluster: the balancer knows %d instances, not %d", balanced, o.Instances)
	case o.Postgres != nil && (o.PostgresTLS || o.WithoutPostgres || o.Detached):
		return fmt.Errorf("start a cluster: a shared Postgres can be neither configured nor stopped nor left behind")
	}
	return nil
}
