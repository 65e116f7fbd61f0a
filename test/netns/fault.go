package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Cut lets nothing through from one host to another; the other direction stays.
// Neither side is told: packets vanish.
func (l *Testbed) Cut(ctx context.Context, from, to string) error {
	return l.arriving(ctx, from, to, "-j", "DROP")
}

// Part cuts both directions between each host of one side and each of the other.
func (l *Testbed) Part(ctx context.Context, side, other []string) error {
	var faults []error
	for _, a := range side {
		for _, b := range other {
			faults = append(faults, l.Cut(ctx, a, b), l.Cut(ctx, b, a))
		}
	}
	return errors.Join(faults...)
}

// Isolate cuts both directions between a host and all others; clients outside
// still reach it.
func (l *Testbed) Isolate(ctx context.Context, label string) error {
	others := slices.DeleteFunc(l.Labels(), func(other string) bool { return other == label })
	return l.Part(ctx, []string{label}, others)
}

// Lose drops a share of the packets from one host to another, at random.
func (l *Testbed) Lose(ctx context.Context, from, to string, share float64) error {
	return l.arriving(ctx, from, to, "-m", "statistic", "--mode", "random",
		"--probability", strconv.FormatFloat(share, 'f', 3, 64), "-j", "DROP")
}

// Reset breaks every connection from one host to another, and refuses new ones.
func (l *Testbed) Reset(ctx context.Context, from, to string) error {
	return l.arriving(ctx, from, to, "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")
}

// arriving adds a rule for packets that arrive at one host from another.
func (l *Testbed) arriving(ctx context.Context, from, to string, rule ...string) error {
	sender, receiver, err := l.pair(from, to)
	if err != nil {
		return err
	}
	if receiver.namespace == "" {
		// We have no rules for this machine itself, which others use: the sender drops it.
		return sender.iptables(ctx, append([]string{"-A", "OUTPUT", "-d", receiver.ip}, rule...)...)
	}
	return receiver.iptables(ctx, append([]string{"-A", "INPUT", "-s", sender.ip}, rule...)...)
}

// Delay brings every connection that one host makes to a port of another over a relay, where the
// bytes of both directions wait: for kernels that cannot delay packets. Connections that exist are
// broken. Other packets between the two are not delayed.
func (l *Testbed) Delay(ctx context.Context, from, to string, port int, wait time.Duration) error {
	sender, receiver, err := l.pair(from, to)
	if err != nil {
		return err
	}
	r, err := newRelay(ctx, l.address(1), net.JoinHostPort(receiver.ip, strconv.Itoa(port)), wait)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.relays = append(l.relays, r)
	l.mu.Unlock()
	there := []string{"-p", "tcp", "-d", receiver.ip, "--dport", strconv.Itoa(port)}
	redirect := append([]string{"-t", "nat", "-A", "OUTPUT"}, there...)
	if err := sender.iptables(ctx, append(redirect, "-j", "DNAT", "--to-destination", r.addr())...); err != nil {
		return err
	}
	// A new connection has the relay's address by now: packets that still go there are of an old
	// one.
	old := append([]string{"-A", "OUTPUT"}, there...)
	return sender.iptables(ctx, append(old, "-j", "REJECT", "--reject-with", "tcp-reset")...)
}

// Heal ends every fault. Connections over a relay are broken.
func (l *Testbed) Heal(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var faults []error
	for _, h := range l.hosts {
		if h.namespace != "" {
			faults = append(faults, h.iptables(ctx, "-F"), h.iptables(ctx, "-t", "nat", "-F"))
		}
	}
	for _, r := range l.relays {
		faults = append(faults, r.close())
	}
	l.relays = nil
	return errors.Join(faults...)
}

// pair finds two hosts; at most one is outside.
func (l *Testbed) pair(from, to string) (sender, receiver *host, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sender, receiver = l.hosts[from], l.hosts[to]
	if sender == nil || receiver == nil || sender == receiver {
		return nil, nil, fmt.Errorf("no way from %q to %q in this network", from, to)
	}
	return sender, receiver, nil
}

// iptables changes the rules of a host.
func (h *host) iptables(ctx context.Context, args ...string) error {
	enter := []string{"--net=" + filepath.Join("/run/netns", h.namespace), "iptables", "--wait", "10"}
	return run(ctx, "nsenter", append(enter, args...)...)
}
