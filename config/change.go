package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// Change is a setting that differs between two configurations.
type Change struct {
	// Key is the dotted key; storages and peers stand in it by their names.
	Key string
	// Before and After are for people: secrets hide themselves, and a setting that
	// one side lacks is empty there.
	Before, After string
}

// Changes returns the settings that differ, by their keys.
func Changes(before, after *Config) []Change {
	old, now := map[string]reflect.Value{}, map[string]reflect.Value{}
	flatten(old, "", reflect.ValueOf(before).Elem())
	flatten(now, "", reflect.ValueOf(after).Elem())
	keys := slices.Concat(slices.Collect(maps.Keys(old)), slices.Collect(maps.Keys(now)))
	slices.Sort(keys)
	var changes []Change
	for _, key := range slices.Compact(keys) {
		was, is := old[key], now[key]
		if was.IsValid() && is.IsValid() && reflect.DeepEqual(was.Interface(), is.Interface()) {
			continue
		}
		changes = append(changes, Change{Key: key, Before: display(was), After: display(is)})
	}
	return changes
}

// display shows a value as slog would: a Secret as nothing but that it is one.
func display(v reflect.Value) string {
	if !v.IsValid() {
		return ""
	}
	return fmt.Sprint(v.Interface())
}

// flatten notes the values of all settings by their dotted keys.
func flatten(into map[string]reflect.Value, name string, of reflect.Value) {
	for field, value := range of.Fields() {
		tag := field.Tag.Get("toml")
		switch {
		case field.Type == reflect.TypeFor[Secret]() && tag == "-":
			into[name+secretKeys[field.Name]] = value // the content of secret_file
		case tag == "-":
		case value.Kind() == reflect.Struct:
			flatten(into, name+tag+".", value)
		case value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct:
			for i := range value.Len() {
				element := value.Index(i)
				flatten(into, name+tag+"."+elementName(element, i)+".", element)
			}
		default:
			into[name+tag] = value
		}
	}
}

// secretKeys name the settings that only a file gives, by their fields.
var secretKeys = map[string]string{"Secret": "secret", "FormerSecret": "former_secret"}

// elementName is how an operator calls an element of an array of tables.
func elementName(element reflect.Value, i int) string {
	for _, field := range []string{"Storage", "Name"} {
		if v := element.FieldByName(field); v.IsValid() && v.Len() > 0 {
			return v.String()
		}
	}
	return strconv.Itoa(i)
}

// WithLive returns c with those settings of another configuration that take effect
// without a restart: the secrets of clients, operators, storages and other instances, the
// certificate for clients, the level of the log, and the addresses of storages
// that c has. All others stay as they are.
func (c *Config) WithLive(other *Config) *Config {
	live := *c
	live.Auth, live.Admin, live.TLS, live.Logging.Level = other.Auth, other.Admin, other.TLS, other.Logging.Level
	if c.Raft.Secret != "" && other.Raft.Secret != "" { // not from certificates to a secret or back
		live.Raft.SecretFile, live.Raft.Secret, live.Raft.FormerSecret = other.Raft.SecretFile, other.Raft.Secret, other.Raft.FormerSecret
	}
	live.ConfigCommand, live.ConfigCommandTimeout = other.ConfigCommand, other.ConfigCommandTimeout
	live.Ignored, live.Warnings = other.Ignored, other.Warnings
	live.VirtualStorages = slices.Clone(c.VirtualStorages)
	for i, vs := range live.VirtualStorages {
		live.VirtualStorages[i].Nodes = slices.Clone(vs.Nodes)
		for j := range vs.Nodes {
			node := &live.VirtualStorages[i].Nodes[j]
			if to, ok := other.node(vs.Name, node.Storage); ok {
				node.Address, node.Token, node.TokenFile = to.Address, to.Token, to.TokenFile
			}
		}
	}
	return &live
}

func (c *Config) node(virtualStorage, storage string) (Node, bool) {
	for _, vs := range c.VirtualStorages {
		for _, node := range vs.Nodes {
			if vs.Name == virtualStorage && node.Storage == storage {
				return node, true
			}
		}
	}
	return Node{}, false
}
