package config

import "reflect"

// legacy brings older spellings to today's, and refuses the keys that would
// ask for behaviour which this project does not have. It works on the document,
// so that the Config knows one spelling of everything.
type legacy struct {
	doc   *document
	found *findings
}

func (l legacy) rewrite() {
	l.failoverEnabled()
	l.electionStrategy()
	l.queueSwitch("memory_queue_enabled", false)
	l.queueSwitch("postgres_queue_enabled", true)
	l.soleVirtualStorage()
	for i, v := range tables(l.doc.root["virtual_storage"]) {
		at := keyPath("virtual_storage", i)
		for j, node := range tables(v["node"]) {
			l.nodeName(under(at, "node", j), node)
		}
		l.replicationFactor(at, v)
	}
}

// tables returns the tables of an array of tables; an element of another kind
// gives nil, in which nothing is found.
func tables(raw any) []map[string]any {
	list, _ := raw.([]any)
	out := make([]map[string]any, len(list))
	for i, element := range list {
		out[i], _ = element.(map[string]any)
	}
	return out
}

// failoverEnabled turns failover_enabled into failover.enabled.
func (l legacy) failoverEnabled() {
	const old = "failover_enabled"
	value, ok := l.doc.root[old]
	if !ok {
		return
	}
	delete(l.doc.root, old)
	enabled, ok := value.(bool)
	if !ok {
		l.found.add(keyPath(old), "must be true or false, not %s", kindName(value))
		return
	}
	section, ok := l.doc.root["failover"].(map[string]any)
	if !ok && l.doc.root["failover"] != nil {
		return // The binder reports the fault.
	}
	if section == nil {
		section = map[string]any{}
		l.doc.root["failover"] = section
	}
	if other, both := section["enabled"]; both {
		if other != value {
			l.found.add(keyPath(old), "says %v, but failover.enabled says otherwise: remove this older spelling", enabled)
		}
		return
	}
	section["enabled"] = value
	l.doc.move(keyPath(old), keyPath("failover", "enabled"))
}

// electionStrategy judges a key that has no effect, so that a misspelt one is
// not taken for a known one.
func (l legacy) electionStrategy() {
	section, _ := l.doc.root["failover"].(map[string]any)
	value, ok := section["election_strategy"]
	if !ok {
		return
	}
	key := keyPath("failover", "election_strategy")
	if name, ok := value.(string); ok {
		oneOf(l.found, key, name, "per_repository", "sql", "local")
		return
	}
	l.found.add(key, "must be a string, not %s", kindName(value))
}

// queueSwitch refuses a queue in memory.
func (l legacy) queueSwitch(name string, inPostgres bool) {
	value, ok := l.doc.root[name]
	if !ok {
		return
	}
	delete(l.doc.root, name)
	switch value {
	case inPostgres:
	case !inPostgres:
		l.found.add(keyPath(name), "%v asks for a queue in memory, which would forget repair work: the queue is always in Postgres, remove the key", value)
	default:
		l.found.add(keyPath(name), "must be true or false, not %s", kindName(value))
	}
}

// soleVirtualStorage turns virtual_storage_name and [[node]], from the time
// when there was one virtual storage, into one of the list.
func (l legacy) soleVirtualStorage() {
	const oldName, oldNodes = "virtual_storage_name", "node"
	name, named := l.doc.root[oldName]
	nodes, hasNodes := l.doc.root[oldNodes]
	if !named && !hasNodes {
		return
	}
	list, ok := l.doc.root["virtual_storage"].([]any)
	if !ok && l.doc.root["virtual_storage"] != nil {
		return // The binder reports the fault.
	}
	at := keyPath("virtual_storage", len(list))
	v := map[string]any{}
	if named {
		v["name"] = name
		l.doc.move(keyPath(oldName), under(at, "name"))
	}
	if hasNodes {
		v["node"] = nodes
		l.doc.move(keyPath(oldNodes), under(at, "node"))
	}
	delete(l.doc.root, oldName)
	delete(l.doc.root, oldNodes)
	l.doc.root["virtual_storage"] = append(list, v)
}

// nodeName turns a node's name into storage.
func (l legacy) nodeName(at []string, node map[string]any) {
	name, ok := node["name"]
	if !ok {
		return
	}
	delete(node, "name")
	old, current := under(at, "name"), under(at, "storage")
	if other, both := node["storage"]; both {
		// Either may be of a type that cannot be compared.
		if !reflect.DeepEqual(other, name) {
			l.found.add(old, "differs from storage: remove this older spelling")
		}
		return
	}
	node["storage"] = name
	l.doc.move(old, current)
}

// replicationFactor refuses to hold a repository on some of the storages only.
func (l legacy) replicationFactor(at []string, v map[string]any) {
	const name = "default_replication_factor"
	value, ok := v[name]
	if !ok {
		return
	}
	delete(v, name)
	key := under(at, name)
	factor, ok := value.(int64)
	nodes := tables(v["node"])
	switch {
	case !ok:
		l.found.add(key, "must be a whole number, not %s", kindName(value))
	case factor > 0 && factor != int64(len(nodes)):
		l.found.add(key, "%d would leave replicas away from some of the %d storages, which is not available: write 0 for all storages, or remove the key",
			factor, len(nodes))
	}
}
