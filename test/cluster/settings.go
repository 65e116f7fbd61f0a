package cluster

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// raftSecret is the file with the secret that the instances share.
const raftSecret = "raft-secret"

// table is a TOML table.
type table = map[string]any

// Configure replaces Options.Settings: each instance has the new ones from its next
// start on. No instance may be starting.
func (c *Cluster) Configure(settings string) error {
	c.options.Settings = settings
	for _, i := range c.Instances {
		if err := c.writeConfig(i); err != nil {
			return err
		}
	}
	return nil
}

// framesVariable has the instances of every cluster forward reads through gRPC if it is "off", so that each
// suite can be run that way.
const framesVariable = "PRAEFECT_TEST_FRAMES"

// writeConfig writes the configuration of an instance.
func (c *Cluster) writeConfig(i *Instance) error {
	database, err := databaseSettings(c.DSN)
	if err != nil {
		return err
	}
	settings := table{
		"listen_addr":            i.Addr,
		"prometheus_listen_addr": i.MetricsAddr,
		"graceful_stop_timeout":  "10s",
		"auth":                   table{"token_file": c.TokenFile},
		"admin":                  table{"token_file": c.AdminTokenFile},
		"raft":                   c.raftSettings(i),
		"database":               database,
		"virtual_storage":        c.virtualStorageSettings(),
	}
	if os.Getenv(framesVariable) == "off" {
		settings["forwarding"] = table{"frames": false}
	}
	if i.ConsoleAddr != "" {
		settings["console"] = table{"listen_addr": i.ConsoleAddr}
	}
	overlay := table{}
	if err := toml.Unmarshal([]byte(c.options.Settings), &overlay); err != nil {
		return fmt.Errorf("read the settings of the cluster: %w", err)
	}
	text, err := toml.Marshal(merge(settings, overlay))
	if err != nil {
		return fmt.Errorf("encode the configuration of %s: %w", i.Label(), err)
	}
	if err := os.WriteFile(i.Config, text, 0o600); err != nil {
		return fmt.Errorf("write the configuration of %s: %w", i.Label(), err)
	}
	return nil
}

// raftSettings are the settings of one instance: several name each other and share a
// secret.
func (c *Cluster) raftSettings(i *Instance) table {
	// The disk of a test has other work, which must not end an instance.
	settings := table{"name": i.Label(), "data_dir": i.RaftDir, "disk_timeout": "1m"}
	if c.options.WithoutPostgres {
		settings["begin_without_postgres"] = true
	}
	if len(c.Instances) < 2 {
		return settings
	}
	settings["listen_addr"], settings["secret_file"] = i.RaftAddr, filepath.Join(c.Dir, raftSecret)
	var peers []table
	for _, peer := range c.Instances {
		peers = append(peers, table{"name": peer.Label(), "addr": peer.RaftAddr})
	}
	settings["peer"] = peers
	return settings
}

func (c *Cluster) virtualStorageSettings() []table {
	var all []table
	for _, v := range c.options.VirtualStorages {
		var nodes []table
		for _, s := range c.StoragesOf(v.Name) {
			nodes = append(nodes, table{"storage": s.Name, "address": "tcp://" + s.Addr, "token_file": s.TokenFile})
		}
		all = append(all, table{"name": v.Name, "node": nodes})
	}
	return all
}

// merge lays one table over another, which it may change.
func merge(below, over table) table {
	for key, value := range over {
		upper, isTable := value.(table)
		lower, wasTable := below[key].(table)
		if isTable && wasTable {
			below[key] = merge(maps.Clone(lower), upper)
		} else {
			below[key] = value
		}
	}
	return below
}

// databaseSettings are the keys of [database] for a connection string of
// test/postgres: words of the form key='value', with backslashes before quotes
// and backslashes.
func databaseSettings(dsn string) (table, error) {
	settings := table{}
	for rest := dsn; rest != ""; {
		key, quoted, found := strings.Cut(rest, "='")
		if !found {
			return nil, fmt.Errorf("read the connection string: %q is no key='value'", rest)
		}
		var value strings.Builder
		end := 0
		for ; end < len(quoted) && quoted[end] != '\''; end++ {
			if quoted[end] == '\\' {
				end++
			}
			if end < len(quoted) {
				value.WriteByte(quoted[end])
			}
		}
		if end >= len(quoted) {
			return nil, fmt.Errorf("read the connection string: the value of %q does not end", key)
		}
		settings[key] = value.String()
		rest = strings.TrimPrefix(quoted[end+1:], " ")
	}
	text, _ := settings["port"].(string)
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("read the port of the connection string: %w", err)
	}
	settings["port"] = port
	return settings, nil
}
