package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"praefect/test/place"
)

// Testbed is a network of hosts. Make one with Open; its owner calls Close. Its
// methods may be called by several goroutines.
type Testbed struct {
	name string // of the bridge, and the beginning of the namespaces' names
	net  int    // third byte of every address
	lock *os.File

	mu     sync.Mutex
	hosts  map[string]*host // by label; guarded by mu
	relays []*relay         // guarded by mu
}

// host is a namespace with one address.
type host struct {
	namespace string
	ip        string
}

// Outside is the label of this machine itself, where the clients of a test are:
// the bridge's own address.
const Outside = ""

// Open makes a network without hosts. It needs root and the programs that Missing
// looks for.
func Open(ctx context.Context) (*Testbed, error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	const networks = 250
	for n := range networks {
		lock, err := claim(n)
		if err != nil {
			return nil, err
		}
		if lock == nil {
			continue // it is in use
		}
		l := &Testbed{name: "prf" + strconv.Itoa(n), net: n, lock: lock, hosts: make(map[string]*host)}
		l.hosts[Outside] = &host{ip: l.address(1)}
		if err := l.open(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("make a network: %w", err), l.Close())
		}
		return l, nil
	}
	return nil, fmt.Errorf("make a network: all %d are in use", networks)
}

// claim takes one of the networks for as long as this process lives; nil if
// another one has it.
func claim(n int) (*os.File, error) {
	path := filepath.Join("/run", "praefect-netns-"+strconv.Itoa(n)+".lock")
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim a network: %w", err)
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, lock.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claim a network: %w", err), lock.Close())
	}
	return lock, nil
}

// open removes the leftovers of a killed predecessor, then makes the bridge.
func (l *Testbed) open(ctx context.Context) error {
	if err := l.sweep(ctx); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "add", l.name, "type", "bridge"},
		{"addr", "add", l.address(1) + "/24", "dev", l.name},
		{"link", "set", l.name, "up"},
	} {
		if err := run(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// Place makes the host with a label, if there is none yet; it fits cluster.Options.Place.
func (l *Testbed) Place(ctx context.Context, label string) (place.Place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[label]
	if h == nil {
		n := len(l.hosts) + 1
		h = &host{namespace: l.name + "-" + strconv.Itoa(n), ip: l.address(n)}
		if err := l.join(ctx, h, "prfv"+strconv.Itoa(l.net)+"-"+strconv.Itoa(n)); err != nil {
			return place.Place{}, fmt.Errorf("make a host for %q: %w", label, err)
		}
		l.hosts[label] = h
	}
	return place.Place{IP: h.ip, Enter: h.enter}, nil
}

// join makes the namespace of a host and connects it with the bridge.
func (l *Testbed) join(ctx context.Context, h *host, cable string) error {
	for _, args := range [][]string{
		{"netns", "add", h.namespace},
		{"link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", h.namespace},
		{"link", "set", cable, "master", l.name, "up"},
		{"-n", h.namespace, "addr", "add", h.ip + "/24", "dev", "eth0"},
		{"-n", h.namespace, "link", "set", "eth0", "up"},
		{"-n", h.namespace, "link", "set", "lo", "up"},
	} {
		if err := run(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// enter moves the calling thread to the host.
func (h *host) enter() error {
	namespace, err := os.Open(filepath.Join("/run/netns", h.namespace))
	if err != nil {
		return fmt.Errorf("find a namespace: %w", err)
	}
	defer func() { _ = namespace.Close() }() // the thread needs it no longer
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %q: %w", h.namespace, err)
	}
	return nil
}

// Labels are all hosts but Outside.
func (l *Testbed) Labels() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var labels []string
	for label := range l.hosts {
		if label != Outside {
			labels = append(labels, label)
		}
	}
	return labels
}

// Close removes everything. Processes in the hosts should have ended: they would
// lose their network.
func (l *Testbed) Close() error {
	ctx := context.Background() // it is bounded by run
	l.mu.Lock()
	defer l.mu.Unlock()
	var faults []error
	for _, r := range l.relays {
		faults = append(faults, r.close())
	}
	l.relays = nil
	faults = append(faults, l.sweep(ctx), l.lock.Close())
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("remove a network: %w", err)
	}
	return nil
}

// sweep removes the bridge and every namespace of this network that is there.
func (l *Testbed) sweep(ctx context.Context) error {
	var faults []error
	namespaces, err := filepath.Glob(filepath.Join("/run/netns", l.name+"-*"))
	faults = append(faults, err)
	for _, path := range namespaces {
		faults = append(faults, run(ctx, "ip", "netns", "del", filepath.Base(path)))
	}
	links, err := net.Interfaces()
	faults = append(faults, err)
	for _, link := range links {
		// The end of a cable in a removed namespace goes by itself, a moment later.
		if link.Name == l.name {
			faults = append(faults, run(ctx, "ip", "link", "del", link.Name))
		}
		if strings.HasPrefix(link.Name, "prfv"+strconv.Itoa(l.net)+"-") {
			err := run(ctx, "ip", "link", "del", link.Name)
			if _, gone := net.InterfaceByName(link.Name); gone != nil {
				err = nil
			}
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func (l *Testbed) address(host int) string { return fmt.Sprintf("10.213.%d.%d", l.net, host) }
