package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"praefect/config"
	peersettings "praefect/consensus/settings"
)

const (
	// resolveTimeout bounds the look for the hosts of all storages, also at the start.
	resolveTimeout = 2 * time.Second
	// resolveAgain is how often hosts are looked for: an address may come to stand for another place.
	resolveAgain = time.Minute
)

// reporter keeps the report of this instance to the others about its settings.
type reporter struct {
	cfg      func() *config.Config // the settings in force: addresses may be loaded again
	lookup   func(ctx context.Context, host string) ([]string, error)
	current  atomic.Pointer[peersettings.Report]
	resolved chan struct{} // closed once hosts were looked for
}

func newReporter(cfg func() *config.Config) *reporter {
	r := &reporter{cfg: cfg, lookup: net.DefaultResolver.LookupHost, resolved: make(chan struct{})}
	r.publish(nil)
	return r
}

// report returns the present report.
func (r *reporter) report() peersettings.Report { return *r.current.Load() }

// part looks for the hosts of the storages, and tells when they are found.
func (r *reporter) part() part {
	return part{name: "settings", run: r.run, ready: func(ctx context.Context) error {
		select {
		case <-r.resolved:
		case <-ctx.Done():
		}
		return ctx.Err()
	}}
}

func (r *reporter) run(ctx context.Context) error {
	first := sync.OnceFunc(func() { close(r.resolved) })
	for {
		r.publish(r.resolve(ctx))
		first()
		if err := sleep(ctx, resolveAgain); err != nil {
			return nil // told to end
		}
	}
}

// resolve returns the places that the address of each storage stands for. A host that is not found is
// left out: then addresses count as the same only if they are equal.
func (r *reporter) resolve(ctx context.Context) map[string][]string {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var mu sync.Mutex
	found := make(map[string][]string)
	var all sync.WaitGroup
	for _, vs := range r.cfg().VirtualStorages {
		for _, node := range vs.Nodes {
			host, port, ok := hostOf(node.Address)
			if !ok {
				continue
			}
			all.Go(func() {
				places := []string{host}
				if _, err := netip.ParseAddr(host); err != nil {
					if places, err = r.lookup(ctx, host); err != nil {
						return
					}
				}
				var list []string
				for _, p := range places {
					list = append(list, net.JoinHostPort(p, port))
				}
				slices.Sort(list)
				mu.Lock()
				defer mu.Unlock()
				found[node.Address] = list
			})
		}
	}
	all.Wait()
	return found
}

// hostOf returns the host and the port of a storage's address, if it has any.
func hostOf(address string) (host, port string, ok bool) {
	scheme, rest, _ := strings.Cut(address, ":")
	if scheme == "unix" {
		return "", "", false
	}
	if scheme == "dns" && strings.HasPrefix(rest, "//") {
		_, rest, _ = strings.Cut(strings.TrimPrefix(rest, "//"), "/")
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(rest, "//"))
	return host, port, err == nil
}

// publish makes the report of the settings, with the places that were found.
func (r *reporter) publish(places map[string][]string) {
	report := peersettings.Report{Instance: r.cfg().Raft.Name, Values: mustAgree(r.cfg())}
	for _, vs := range r.cfg().VirtualStorages {
		listed := peersettings.VirtualStorage{Name: vs.Name, Line: vs.Line}
		for _, name := range vs.Succession() {
			i := slices.IndexFunc(vs.Nodes, func(n config.Node) bool { return n.Storage == name })
			node := vs.Nodes[i]
			listed.Storages = append(listed.Storages, peersettings.Storage{
				Name: name, Line: node.Line, Address: node.Address, Resolved: places[node.Address],
			})
		}
		report.VirtualStorages = append(report.VirtualStorages, listed)
	}
	report = report.Seal()
	r.current.Store(&report)
}

// mustAgree are the settings, beside the storages, that every instance must have alike: the others
// rely on the decisions of each.
func mustAgree(cfg *config.Config) []peersettings.Value {
	values := []peersettings.Value{
		{Key: "consistency.mode", Value: cfg.Consistency.Mode},
		{Key: "consistency.copies", Value: fmt.Sprint(cfg.Consistency.Copies)},
		{Key: "consistency.when_short", Value: cfg.Consistency.WhenShort},
		{Key: "consistency.conflicts", Value: cfg.Consistency.Conflicts},
		{Key: "raft.profile", Value: cfg.Raft.Profile},
		hashed("admin.token", []byte(cfg.Admin.Token.Reveal())),
		hashed("method_descriptors", descriptors(cfg.MethodDescriptors)),
	}
	values = append(values, section("failover", reflect.ValueOf(cfg.Failover))...)
	return append(values, section("detection", reflect.ValueOf(cfg.Detection))...)
}

// section are all settings of a section.
func section(name string, of reflect.Value) []peersettings.Value {
	var values []peersettings.Value
	for field, value := range of.Fields() {
		if tag := field.Tag.Get("toml"); tag != "" && tag != "-" {
			values = append(values, peersettings.Value{Key: name + "." + tag, Value: fmt.Sprint(value.Interface())})
		}
	}
	return values
}

// hashed is a setting of which only a hash is told.
func hashed(key string, value []byte) peersettings.Value {
	if len(value) == 0 {
		return peersettings.Value{Key: key, Value: "not set"}
	}
	sum := sha256.Sum256(append([]byte(key+"\x00"), value...))
	return peersettings.Value{Key: key, Value: hex.EncodeToString(sum[:6]), Hashed: true}
}

// descriptors are the contents of the files of methods. One that cannot be read has kept the daemon
// from starting already.
func descriptors(paths []string) []byte {
	var all []byte
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			text = []byte(err.Error())
		}
		sum := sha256.Sum256(text)
		all = append(all, sum[:]...)
	}
	return all
}
