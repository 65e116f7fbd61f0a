package config

import (
	"fmt"
	"os"
	"strings"
)

// Exposed returns the settings that make an instance open to strangers, although it may be meant:
// no client token, one that is not enforced, and secrets that every user of the machine can read.
// file is where the settings were read from.
func (c *Config) Exposed(file string) []Warning {
	var exposed []Warning
	note := func(key, format string, args ...any) {
		exposed = append(exposed, Warning{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	switch {
	case c.Auth.Token == "":
		note("auth.token", "not set: everyone who reaches the instance may read, change and remove every repository")
	case c.Auth.Transitioning:
		note("auth.transitioning", "true: clients with a wrong token or none are let in, and only counted")
	}
	inFile := c.TLS.Key != ""
	for _, s := range c.secretSources() {
		switch {
		case s.file != "":
			noteReadable(note, strings.Join(s.fileKey(), "."), s.file)
		case *s.value != "":
			inFile = true
		}
	}
	if inFile {
		noteReadable(note, "config", file)
	}
	noteReadable(note, "tls.key_path", c.TLS.KeyPath)
	noteReadable(note, "raft.key_path", c.Raft.KeyPath)
	noteReadable(note, "database.sslkey", c.Database.SSLKey)
	noteReadable(note, "console.key_path", c.Console.KeyPath)
	return exposed
}

// noteReadable notes a file with a secret that every user may read. Whether it is there
// at all was looked at before.
func noteReadable(note func(key, format string, args ...any), key, file string) {
	if file == "" {
		return
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
		note(key, "%q holds a secret and every user of this machine can read it: chmod o-r", file)
	}
}
