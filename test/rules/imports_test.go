package rules

import (
	"strings"
	"testing"
)

// under tells whether an import path is pkg or below it.
func under(path, pkg string) bool { return path == pkg || strings.HasPrefix(path, pkg+"/") }

// TestImports_layers holds the layers of the architecture apart: consensus,
// proxy and replicator know nothing of each other, and only cmd and test join
// them.
func TestImports_layers(t *testing.T) {
	layers := []string{"praefect/proxy", "praefect/replicator", "praefect/consensus"}
	for _, f := range files(t) {
		if f.isTest || under(f.pkg, "praefect/cmd") || under(f.pkg, "praefect/test") {
			continue
		}
		for _, path := range f.imports {
			for _, layer := range layers {
				if under(path, layer) && !under(f.pkg, layer) {
					t.Errorf("%s: %s imports %s", f.path, f.pkg, path)
				}
			}
			if under(path, "praefect/cmd") || under(path, "praefect/test") {
				t.Errorf("%s: %s imports %s", f.path, f.pkg, path)
			}
		}
	}
}

// TestImports_topLevel holds the folders of the module to those that CONTRIBUTING.md maps.
func TestImports_topLevel(t *testing.T) {
	for _, f := range files(t) {
		folder, _, _ := strings.Cut(strings.TrimPrefix(f.pkg, "praefect/"), "/")
		switch folder {
		case "cmd", "config", "consensus", "deploy", "fsm", "proxy", "replicator", "test":
		default:
			t.Errorf("%s: a package of %s; values that several of the parts share are in fsm", f.path, folder)
		}
	}
}

// TestImports_pureCore keeps what decides free of what acts.
func TestImports_pureCore(t *testing.T) {
	allowed := map[string][]string{
		"praefect/fsm/state":                {},
		"praefect/proxy/router":             {"praefect/fsm/state"},
		"praefect/proxy/ledger":             {"praefect/fsm/state", "praefect/fsm/repair", "praefect/fsm/routing", "praefect/proxy/ledger/machine"},
		"praefect/proxy/ledger/machine":     {"praefect/fsm/state", "praefect/fsm/repair", "praefect/fsm/routing", "praefect/proxy/router"},
		"praefect/proxy/stream":             {"praefect/fsm/state"},
		"praefect/proxy/transaction":        {"praefect/fsm/state", "praefect/proxy/throttle", "praefect/proxy/transaction/quorum"},
		"praefect/proxy/throttle":           {},
		"praefect/proxy/transaction/quorum": {},
		"praefect/proxy/method":             {},
		"praefect/proxy/channel":            {},
		"praefect/proxy/secure":             {},
		"praefect/config":                   {},
		"praefect/replicator":               {"praefect/fsm/state", "praefect/fsm/repair", "praefect/replicator/plan", "praefect/replicator/queue", "praefect/replicator/steps"},
		"praefect/replicator/plan":          {"praefect/fsm/state"},
		"praefect/replicator/steps":         {"praefect/fsm/state", "praefect/fsm/repair", "praefect/replicator/plan"},
		"praefect/fsm/condition":            {"praefect/fsm/reachability", "praefect/fsm/state"},
		"praefect/fsm/reachability":         {},
		"praefect/fsm/repair":               {"praefect/fsm/state"},
		"praefect/fsm/routing":              {"praefect/fsm/state"},
		"praefect/proxy/skew":               {},
		"praefect/proxy/admin":              {"praefect/fsm/state", "praefect/fsm/condition", "praefect/fsm/reachability", "praefect/fsm/wire", "praefect/proxy/router", "praefect/proxy/skew", "praefect/proxy/admin/adminpb"},
		"praefect/proxy/admin/adminpb":      {},
		"praefect/fsm/wire":                 {},
		"praefect/proxy/console":            {"praefect/fsm/state", "praefect/proxy/admin"},
		"praefect/replicator/queue":         {"praefect/fsm/state"},
		"praefect/consensus/member":         {},
		"praefect/consensus/setup":          {"praefect/consensus/lease", "praefect/consensus/member", "praefect/consensus/peer"},
		"praefect/consensus/store":          {"praefect/fsm", "praefect/fsm/state", "praefect/consensus/setup"},
		"praefect/consensus/library": {"praefect/fsm", "praefect/fsm/state",
			"praefect/consensus/member", "praefect/consensus/peer", "praefect/consensus/setup", "praefect/consensus/store"},
		"praefect/consensus/membership": {"praefect/fsm/state", "praefect/consensus/library",
			"praefect/consensus/member", "praefect/consensus/peer", "praefect/consensus/setup", "praefect/consensus/store"},
	}
	for _, f := range files(t) {
		may, restricted := allowed[f.pkg]
		if f.isTest || !restricted {
			continue
		}
		for _, path := range f.imports {
			if !under(path, "praefect") {
				continue
			}
			ok := false
			for _, a := range may {
				ok = ok || path == a
			}
			if !ok {
				t.Errorf("%s: %s may not import %s", f.path, f.pkg, path)
			}
		}
	}
}

// TestImports_owners keeps each technology behind the package that owns it.
func TestImports_owners(t *testing.T) {
	owners := []struct {
		library string
		owners  []string
	}{
		{"github.com/lib/pq", []string{"praefect/replicator/postgres", "praefect/test/postgres"}},
		{"database/sql", []string{"praefect/replicator/postgres", "praefect/test/postgres"}},
		{"github.com/hashicorp/raft", []string{"praefect/fsm", "praefect/consensus"}},
		{"github.com/hashicorp/raft-boltdb", []string{"praefect/consensus/store"}},
		{"go.etcd.io/bbolt", []string{"praefect/consensus/store"}},
		{"github.com/hashicorp/yamux", []string{"praefect/proxy/channel"}},
	}
	for _, f := range files(t) {
		if f.isTest {
			continue
		}
		for _, path := range f.imports {
			for _, o := range owners {
				if !under(path, o.library) {
					continue
				}
				ok := false
				for _, owner := range o.owners {
					ok = ok || under(f.pkg, owner)
				}
				if !ok {
					t.Errorf("%s: %s imports %s, which belongs to %v", f.path, f.pkg, path, o.owners)
				}
			}
		}
	}
}
