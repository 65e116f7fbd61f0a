package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
)

// The files below the directory of `tls init`. Instances trust each other by an authority of their
// own: a certificate for clients or of a storage does not admit its holder among them.
const (
	clientAuthority = "ca"      // of the listeners for clients, and of storages
	peerAuthority   = "raft-ca" // of instances among each other
	serverPair      = "server"  // below the name of an instance: for its clients
	peerPair        = "raft"    // below the name of an instance: for other instances
	storagePair     = "gitaly"  // below the name of a storage
)

const tlsInitHelp = `Makes two authorities in -dir, ca and raft-ca, and a certificate and key for
each instance and storage:

  DIR/ca.crt, ca.key            clients and instances trust ca.crt
  DIR/raft-ca.crt, raft-ca.key  raft.ca_path of the instances
  DIR/INSTANCE/server.crt, .key tls.certificate_path and tls.key_path
  DIR/INSTANCE/raft.crt, .key   raft.certificate_path and raft.key_path
  DIR/STORAGE/gitaly.crt, .key  tls.certificate_path and tls.key_path of Gitaly

Copy to each host its own directory and the two .crt files of the authorities, and keep
the directory with the keys of the authorities off the network. Nothing that exists is
overwritten. tls renew issues the certificates again.`

func (p *program) tls() *cli.Command {
	return group("tls", "certificates for instances, clients and storages", &cli.Command{
		Name:        "init",
		Usage:       "make authorities and certificates",
		Description: tlsInitHelp,
		Flags: []cli.Flag{
			dirFlag(), daysFlag(),
			&cli.StringSliceFlag{Name: "instance", Usage: "an instance and the names of its host: `NAME=HOST[,HOST]`; repeat for each"},
			&cli.StringSliceFlag{Name: "storage", Usage: "a storage and the names of its host: `NAME=HOST[,HOST]`; repeat for each"},
			&cli.StringSliceFlag{Name: "client-name", Usage: "a `HOST` by which clients reach every instance, such as the balancer's; repeat for more"},
		},
		DisableSliceFlagSeparator: true,
		Action:                    p.tlsInit,
	}, &cli.Command{
		Name:  "renew",
		Usage: "issue all certificates of a directory of `tls init` again",
		Description: "Each certificate below -dir is issued again, with a new key, for the same names. The\n" +
			"authorities stay. Copy the new files to their hosts and send SIGHUP to the instances.",
		Flags:  []cli.Flag{dirFlag(), daysFlag()},
		Action: p.tlsRenew,
	})
}

func dirFlag() cli.Flag {
	return &cli.StringFlag{Name: "dir", Value: "tls", Usage: "the `DIRECTORY` of the files"}
}

func daysFlag() cli.Flag {
	return &cli.IntFlag{Name: "days", Value: 397, Usage: "how many `DAYS` a certificate is valid"}
}

// owner is an instance or a storage and the names of its host.
type owner struct {
	name  string
	hosts []string
}

func parseOwner(flag, text string) (owner, error) {
	name, hosts, found := strings.Cut(text, "=")
	o := owner{name, strings.Split(hosts, ",")}
	switch {
	case !found || name == "" || slices.Contains(o.hosts, ""):
		return o, usage("-%s %q: write NAME=HOST, as in praefect-1=10.0.0.1", flag, text)
	case name != filepath.Base(name) || strings.HasPrefix(name, "."):
		return o, usage("-%s %q: %q cannot be the name of a directory", flag, text, name)
	}
	for _, host := range o.hosts {
		if net.ParseIP(host) == nil && strings.ContainsAny(host, "/:[] \t") {
			return o, usage("-%s %q: %q is not the name or address of a host", flag, text, host)
		}
	}
	return o, nil
}

func parseOwners(cmd *cli.Command, flag string) ([]owner, error) {
	var owners []owner
	for _, text := range cmd.StringSlice(flag) {
		o, err := parseOwner(flag, text)
		if err != nil {
			return nil, err
		}
		owners = append(owners, o)
	}
	return owners, nil
}

func life(cmd *cli.Command) (time.Duration, error) {
	days := cmd.Int("days")
	if days < 1 || days > 3650 {
		return 0, usage("-days %d: write a number from 1 to 3650", days)
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

// order is a certificate that is to be made.
type order struct {
	at    pairPath
	names []string
	by    string // the authority
}

// orders are all certificates of a cluster.
func orders(dir string, instances, storages []owner, clientNames []string) []order {
	var list []order
	for _, i := range instances {
		list = append(list,
			order{pairPath(filepath.Join(dir, i.name, serverPair)), slices.Concat(i.hosts, clientNames), clientAuthority},
			order{pairPath(filepath.Join(dir, i.name, peerPair)), slices.Concat([]string{i.name}, i.hosts), peerAuthority})
	}
	for _, s := range storages {
		list = append(list, order{pairPath(filepath.Join(dir, s.name, storagePair)), s.hosts, clientAuthority})
	}
	return list
}

func (p *program) tlsInit(_ context.Context, cmd *cli.Command) error {
	instances, err := parseOwners(cmd, "instance")
	if err != nil {
		return err
	}
	storages, err := parseOwners(cmd, "storage")
	if err != nil {
		return err
	}
	lasting, err := life(cmd)
	switch {
	case err != nil:
		return err
	case cmd.Args().Present():
		return usage("tls init takes no arguments: %q", cmd.Args().First())
	case len(instances) == 0:
		return usage("no instance: give each as -instance NAME=HOST")
	}
	dir := cmd.String("dir")
	wanted := orders(dir, instances, storages, cmd.StringSlice("client-name"))
	authorities := []string{clientAuthority, peerAuthority}
	taken := map[pairPath]bool{}
	for _, at := range slices.Concat(each(authorities, func(a string) pairPath { return pairPath(filepath.Join(dir, a)) }),
		each(wanted, func(o order) pairPath { return o.at })) {
		exists, err := at.exists()
		switch {
		case err != nil:
			return err
		case exists:
			return coded{exitRefused, fmt.Errorf("%q exists: nothing was made; to issue it again run tls renew, to begin anew take another -dir", at)}
		case taken[at]:
			return usage("two of the instances and storages have the name %q", filepath.Base(filepath.Dir(string(at))))
		}
		taken[at] = true
	}
	now, made := time.Now(), map[string]*authority{}
	for _, name := range authorities {
		if made[name], err = newAuthority(pairPath(filepath.Join(dir, name)), "praefect "+name, now); err != nil {
			return err
		}
	}
	return p.fulfil(wanted, made, lasting, now)
}

func (p *program) tlsRenew(_ context.Context, cmd *cli.Command) error {
	lasting, err := life(cmd)
	if err != nil {
		return err
	}
	dir, made := cmd.String("dir"), map[string]*authority{}
	for _, name := range []string{clientAuthority, peerAuthority} {
		if made[name], err = readAuthority(pairPath(filepath.Join(dir, name))); err != nil {
			return fmt.Errorf("-dir %q is none of tls init: %w", dir, err)
		}
	}
	var wanted []order
	for pair, by := range map[string]string{serverPair: clientAuthority, peerPair: peerAuthority, storagePair: clientAuthority} {
		found, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*", pair+".crt"))
		if err != nil {
			return fmt.Errorf("look for certificates: %w", err)
		}
		for _, path := range found {
			certificate, err := readCertificate(path)
			if err != nil {
				return err
			}
			names := slices.Clone(certificate.DNSNames)
			for _, ip := range certificate.IPAddresses {
				names = append(names, ip.String())
			}
			// The first name is the subject's.
			if i := slices.Index(names, certificate.Subject.CommonName); i > 0 {
				names[0], names[i] = names[i], names[0]
			}
			if len(names) == 0 {
				return fmt.Errorf("%q has no names", path)
			}
			wanted = append(wanted, order{pairPath(strings.TrimSuffix(path, ".crt")), names, by})
		}
	}
	if len(wanted) == 0 {
		return errors.New("there is no certificate to renew in " + dir)
	}
	slices.SortFunc(wanted, func(a, b order) int { return strings.Compare(string(a.at), string(b.at)) })
	return p.fulfil(wanted, made, lasting, time.Now())
}

// fulfil makes certificates and tells of each.
func (p *program) fulfil(wanted []order, by map[string]*authority, lasting time.Duration, now time.Time) error {
	for _, o := range wanted {
		made, err := by[o.by].issue(o.at, o.names, lasting, now)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(p.stdout, "%s  for %s, until %s\n", o.at.certificate(), terminal.Line(strings.Join(o.names, ", ")), made.NotAfter.UTC().Format(time.DateOnly)); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	}
	return nil
}

// escapeGlob escapes the characters that Glob would read as a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
