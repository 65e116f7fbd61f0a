package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"praefect/test/cluster"
)

// explain lists commands to try next, to copy as it stands.
func (d *demo) explain() {
	url := "gitaly://" + d.record.ClientAddr + "/" + virtualStorage + "/" + relativePath
	var endpoints []string
	for _, i := range d.record.Instances {
		endpoints = append(endpoints, i.Addr)
	}
	fmt.Fprintf(d.stdout, `
It stays up until make demo-down. To look around:

  export PATH=%s:"$PATH"
  export GITALY_TOKEN_FILE=%[2]s PRAEFECT_TOKEN_FILE=%[2]s
  export PRAEFECT_ADMIN_TOKEN_FILE=%[8]s
  export PRAEFECT_ENDPOINTS=%[3]s

  praefectctl status
  praefectctl raft status
  praefectctl promote gitaly-2
  git clone %[4]s
  make demo-down

The web console is at http://%[9]s, for the admin token.
Metrics are at http://%[5]s/metrics, logs in %[6]s,
addresses and process ids in %[7]s.
`, quote(d.build), quote(d.record.TokenFile), strings.Join(endpoints, ","), url, d.record.Instances[0].MetricsAddr,
		d.state, d.published(), quote(filepath.Join(d.state, cluster.AdminTokenName)), d.record.Instances[0].ConsoleAddr)
}

// quote makes a word of the shell.
func quote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// status prints which processes run, and is an error if not all do.
func (d *demo) status(context.Context) error {
	if d.record == nil {
		return errors.New("no demo is up: make demo starts one")
	}
	dead, err := d.dead()
	if err != nil {
		return err
	}
	rows := newTable("process", "address", "pid", "state")
	for _, p := range d.record.parts() {
		state := "running"
		for _, gone := range dead {
			if gone == p {
				state = "ended"
			}
		}
		rows.AppendRow(table.Row{p.name, p.addr, p.pid, state})
	}
	fmt.Fprintln(d.stdout, rows.Render())
	if len(dead) > 0 {
		return fmt.Errorf("%d of %d processes ended: make demo starts all anew, logs are in %s",
			len(dead), len(d.record.parts()), d.state)
	}
	d.explain()
	return nil
}

// newTable is a table in the style of all of the demo's.
func newTable(columns ...any) table.Writer {
	rows := table.NewWriter()
	rows.SetStyle(table.StyleLight)
	rows.Style().Options = table.OptionsNoBordersAndSeparators
	rows.AppendHeader(columns)
	return rows
}
