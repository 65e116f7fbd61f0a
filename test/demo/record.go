package main

import (
	"encoding/json"
	"fmt"
	"os"

	"praefect/test/cluster"
	"praefect/test/scenario"
)

// record is the content of demo.json: where everything of a demo is. People, tests
// and other tools read it; its names stay.
type record struct {
	ClientAddr string           `json:"client_addr"`
	TokenFile  string           `json:"token_file"`
	StateDir   string           `json:"state_dir"`
	Instances  []instanceRecord `json:"instances"`
	Storages   []storageRecord  `json:"storages"`
	Postgres   postgresRecord   `json:"postgres"`
	HAProxy    haproxyRecord    `json:"haproxy"`
}

type instanceRecord struct {
	Name        string `json:"name"`
	Addr        string `json:"addr"`
	MetricsAddr string `json:"metrics_addr"`
	ConsoleAddr string `json:"console_addr"`
	PID         int    `json:"pid"`
}

type storageRecord struct {
	VirtualStorage string `json:"virtual_storage"`
	Name           string `json:"name"`
	Addr           string `json:"addr"`
	TokenFile      string `json:"token_file"`
	Dir            string `json:"dir"`
	PID            int    `json:"pid"`
}

type postgresRecord struct {
	DSN string `json:"dsn"`
	PID int    `json:"pid"`
}

type haproxyRecord struct {
	Addr string `json:"addr"`
	PID  int    `json:"pid"`
}

func newRecord(c *cluster.Cluster) *record {
	r := &record{
		ClientAddr: c.ClientAddr(), TokenFile: c.TokenFile, StateDir: c.Dir,
		Postgres: postgresRecord{DSN: c.DSN, PID: c.Postgres.PID()},
		HAProxy:  haproxyRecord{Addr: c.Balancer.Addr, PID: c.Balancer.PID()},
	}
	for _, i := range c.Instances {
		r.Instances = append(r.Instances, instanceRecord{Name: i.Label(), Addr: i.Addr, MetricsAddr: i.MetricsAddr, ConsoleAddr: i.ConsoleAddr, PID: i.PID()})
	}
	for _, s := range c.Storages {
		r.Storages = append(r.Storages, storageRecord{
			VirtualStorage: s.VirtualStorage, Name: s.Name, Addr: s.Addr, TokenFile: s.TokenFile, Dir: s.Dir, PID: s.PID(),
		})
	}
	return r
}

func readRecord(path string) (*record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the description of the demo: %w", err)
	}
	r := new(record)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// write writes the description for its owner alone: the connection string has a password.
func (r *record) write(paths ...string) error {
	for _, path := range paths {
		if err := scenario.WriteJSON(path, r, 0o600); err != nil {
			return fmt.Errorf("describe the demo: %w", err)
		}
	}
	return nil
}

// part is one process of a demo, as people know it.
type part struct {
	name, addr string
	pid        int
}

// parts are all processes that the record names.
func (r *record) parts() []part {
	parts := []part{{"postgres", "", r.Postgres.PID}}
	for _, s := range r.Storages {
		parts = append(parts, part{s.Name, s.Addr, s.PID})
	}
	for _, i := range r.Instances {
		parts = append(parts, part{i.Name, i.Addr, i.PID})
	}
	return append(parts, part{"haproxy", r.HAProxy.Addr, r.HAProxy.PID})
}
