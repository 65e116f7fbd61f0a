package config

import "strings"

// VirtualStorage is a name that clients use, and the storages behind it.
type VirtualStorage struct {
	// Name is the name of the storage that clients send. Unique.
	Name string `toml:"name"`
	// Nodes are the storages, at least one. Their order is that of the first
	// succession, save that the one with Primary leads.
	Nodes []Node `toml:"node"`
	// Line is where the text has it, from 1; 0 where it came from the config command.
	Line int `toml:"-"`
}

// Node is one storage. Another virtual storage may have one of the same name,
// at the same address or another.
type Node struct {
	// Storage is the storage's name, as configured on its Gitaly server; unique
	// within the virtual storage. name is an older spelling.
	Storage string `toml:"storage"`
	// Address is how to reach the Gitaly server: "tcp://host:port",
	// "tls://host:port", "unix:/path", "dns:host:port" or
	// "dns://resolver/host:port".
	Address string `toml:"address"`
	// Token is the secret of the Gitaly server. Default: none.
	Token Secret `toml:"token"`
	// TokenFile is a file that holds the token, in place of Token.
	TokenFile string `toml:"token_file"`
	// Primary puts the storage at the head of the first succession, and has no
	// effect on one that exists already. At most one of a virtual storage.
	// Default false: the first node leads.
	Primary bool `toml:"primary"`
	// Line is as in VirtualStorage.
	Line int `toml:"-"`
}

// notePlaces notes where the text has the virtual storages and their nodes.
func (c *Config) notePlaces(doc *document) {
	for i := range c.VirtualStorages {
		v := &c.VirtualStorages[i]
		v.Line = doc.position(keyPath("virtual_storage", i)).line
		for j := range v.Nodes {
			v.Nodes[j].Line = doc.position(keyPath("virtual_storage", i, "node", j)).line
		}
	}
}

// Succession returns the names of the storages in the order in which they are
// to become primary when the virtual storage is first defined: the configured
// primary, then the others as the file lists them.
func (v VirtualStorage) Succession() []string {
	order := make([]string, 0, len(v.Nodes))
	for _, primary := range []bool{true, false} {
		for _, node := range v.Nodes {
			if node.Primary == primary {
				order = append(order, node.Storage)
			}
		}
	}
	return order
}

// ConfiguredPrimary is the node that the file calls the primary, empty if it
// calls none so.
func (v VirtualStorage) ConfiguredPrimary() string {
	for _, node := range v.Nodes {
		if node.Primary {
			return node.Storage
		}
	}
	return ""
}

// checkVirtualStorages judges the virtual storages and their nodes.
func (c *Config) checkVirtualStorages(found *findings) {
	if len(c.VirtualStorages) == 0 {
		found.add(keyPath("virtual_storage"), "not set: add at least one [[virtual_storage]] with a name and its nodes")
	}
	names := map[string]bool{}
	for i, v := range c.VirtualStorages {
		key := keyPath("virtual_storage", i, "name")
		checkName(found, key, v.Name, names, "virtual storage")
		v.checkNodes(found, keyPath("virtual_storage", i))
	}
}

func (v VirtualStorage) checkNodes(found *findings, at []string) {
	if len(v.Nodes) == 0 {
		found.add(under(at, "node"), "not set: a virtual storage needs at least one [[virtual_storage.node]]")
	}
	names := map[string]bool{}
	primary := -1
	for i, node := range v.Nodes {
		checkName(found, under(at, "node", i, "storage"), node.Storage, names, "storage of this virtual storage")
		if node.Address == "" {
			found.add(under(at, "node", i, "address"), "not set: write where its Gitaly server listens, such as 'tcp://host:8075'")
		} else if err := checkStorageAddress(node.Address); err != nil {
			found.add(under(at, "node", i, "address"), "%v", err)
		}
		switch {
		case !node.Primary:
		case primary < 0:
			primary = i
		default:
			found.add(under(at, "node", i, "primary"), "node %d (%q) is the primary already: keep the key at one of them",
				primary, v.Nodes[primary].Storage)
		}
	}
}

// checkName judges a name that must be unique among those seen so far, and
// adds it to them.
func checkName(found *findings, key []string, name string, seen map[string]bool, what string) {
	switch {
	case strings.TrimSpace(name) == "":
		found.add(key, "not set: every %s needs a name", what)
	case seen[name]:
		found.add(key, "%q is the name of another %s: choose a unique one", name, what)
	}
	seen[name] = true
}
