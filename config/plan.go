package config

import (
	_ "embed" // the example
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
)

// Example is the file with every setting and its default, in which a Plan writes
// its values.
//
//go:embed config.example.toml
var Example string

// Member is an instance or a storage, and where it is.
type Member struct {
	// Name is that of the instance, or of the storage.
	Name string
	// Address is the host of an instance, or the address of a storage as in the
	// settings.
	Address string
}

// Plan describes a new cluster; its files are made from it.
type Plan struct {
	// Instances are the instances, 3 or 5.
	Instances []Member
	// VirtualStorage is the name that clients use, and Storages are behind it, the
	// first primary first.
	VirtualStorage string
	Storages       []Member
	// DatabaseHost, DatabaseUser and DatabaseName name the database in Postgres.
	DatabaseHost, DatabaseUser, DatabaseName string
	// Etc is the directory of settings, secrets and certificates on the host of each
	// instance.
	Etc string
	// TLS has instances show certificates, to each other and to clients. Without it
	// they share a secret.
	TLS bool
}

// The files below Plan.Etc that its settings name.
const (
	PlanClientToken      = "secrets/client-token"
	PlanAdminToken       = "secrets/admin-token"
	PlanStorageToken     = "secrets/gitaly-token"
	PlanDatabasePassword = "secrets/database-password"
	PlanPeerSecret       = "secrets/raft"
)

// File is the text of the settings of one instance: the example with the values
// of the plan.
func (p Plan) File(instance string) (string, error) {
	e := &editor{lines: strings.Split(Example, "\n")}
	e.intro("# Settings of the instance " + instance + ", made by `praefect configuration init`.")
	e.set("", "drain_wait", `"1s"`) // there is a balancer in front of several instances
	e.unset("auth", "token")
	e.set("auth", "token_file", p.path(PlanClientToken))
	e.set("database", "host", quote(p.DatabaseHost))
	e.set("database", "user", quote(p.DatabaseUser))
	e.set("database", "dbname", quote(p.DatabaseName))
	e.unset("database", "password")
	e.set("database", "password_file", p.path(PlanDatabasePassword))
	e.set("raft", "name", quote(instance))
	e.set("raft", "listen_addr", `"0.0.0.0:2307"`)
	e.set("admin", "token_file", p.path(PlanAdminToken))
	if p.TLS {
		e.set("", "tls_listen_addr", `"0.0.0.0:3305"`)
		e.set("tls", "certificate_path", p.path("tls/server.crt"))
		e.set("tls", "key_path", p.path("tls/server.key"))
		e.set("raft", "certificate_path", p.path("tls/raft.crt"))
		e.set("raft", "key_path", p.path("tls/raft.key"))
		e.set("raft", "ca_path", p.path("tls/raft-ca.crt"))
	} else {
		e.set("raft", "secret_file", p.path(PlanPeerSecret))
	}
	e.replace("##[[raft.peer]]", "# What operators must present", p.peers())
	e.replace("[[virtual_storage]]", "# Settings of upstream that have no effect", p.storages())
	if e.err != nil {
		return "", e.err
	}
	return strings.Join(e.lines, "\n"), nil
}

func (p Plan) path(name string) string { return quote(path.Join(p.Etc, name)) }

func (p Plan) peers() (lines []string) {
	for _, i := range p.Instances {
		lines = append(lines, "[[raft.peer]]", "name = "+quote(i.Name), "addr = "+quote(net.JoinHostPort(i.Address, "2307")))
	}
	return append(lines, "")
}

func (p Plan) storages() []string {
	lines := []string{"[[virtual_storage]]", "name = " + quote(p.VirtualStorage), ""}
	for i, s := range p.Storages {
		lines = append(lines, "[[virtual_storage.node]]")
		if i == 0 {
			lines = append(lines, "# The name that the Gitaly server's own configuration gives the storage.")
		}
		lines = append(lines, "storage = "+quote(s.Name))
		if i == 0 {
			lines = append(lines, `# "tcp://host:port", "tls://host:port", "unix:/path", "dns:host:port" or`, `# "dns://resolver/host:port".`)
		}
		lines = append(lines, "address = "+quote(s.Address), "token_file = "+p.path(PlanStorageToken))
		if i == 0 {
			lines = append(lines, "# The first primary of a new virtual storage; else the first node is.", "#primary = false")
		}
		lines = append(lines, "")
	}
	return lines
}

// quote writes a basic string of TOML.
func quote(text string) string { return strconv.Quote(text) }

// editor changes lines of the example. The first thing that it does not find is
// its error: the example and the plan belong together.
type editor struct {
	lines []string
	err   error
}

func (e *editor) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

// find returns the line of a key in a section, switched off or not, or -1.
func (e *editor) find(section, key string) int {
	in := ""
	for i, line := range e.lines {
		bare := strings.TrimLeft(line, "# ")
		switch {
		case strings.HasPrefix(bare, "[") && strings.HasSuffix(bare, "]"):
			in = strings.Trim(bare, "[]")
		case in == section && !strings.HasPrefix(line, "# ") && strings.HasPrefix(bare, key+" = "):
			return i
		}
	}
	return -1
}

// set switches a setting on, with a value.
func (e *editor) set(section, key, value string) {
	i := e.find(section, key)
	if i < 0 {
		e.fail("the example has no %q in section %q", key, section)
		return
	}
	e.lines[i] = key + " = " + value
}

// unset switches a setting off.
func (e *editor) unset(section, key string) {
	i := e.find(section, key)
	if i < 0 || strings.HasPrefix(e.lines[i], "#") {
		e.fail("the example does not set %q in section %q", key, section)
		return
	}
	e.lines[i] = "## " + e.lines[i]
}

// replace puts lines into the place of a range of lines.
func (e *editor) replace(from, to string, with []string) {
	begin, end := -1, -1
	for i, line := range e.lines {
		if begin < 0 && line == from {
			begin = i
		}
		if begin >= 0 && strings.HasPrefix(line, to) {
			end = i
			break
		}
	}
	if end < 0 {
		e.fail("the example has no lines from %q to %q", from, to)
		return
	}
	e.lines = append(e.lines[:begin:begin], append(with, e.lines[end:]...)...)
}

// intro replaces the head, up to the text about the form of the file.
func (e *editor) intro(first string) {
	for i, line := range e.lines {
		if strings.HasPrefix(line, "# A line that begins with") {
			e.lines = append([]string{first, "#"}, e.lines[i:]...)
			return
		}
	}
	e.fail("the example does not say what its lines are")
}

// Check judges the files of the plan as the daemon would, but for the secrets,
// which are not there yet. Its error has every fault.
func (p Plan) Check() error {
	for _, i := range p.Instances {
		text, err := p.File(i.Name)
		if err != nil {
			return err
		}
		if _, err := Parse([]byte(text), func(string) string { return "" }); err != nil {
			return fmt.Errorf("the settings of %q would not be valid: %w", i.Name, err)
		}
	}
	return nil
}
