package config

import (
	"fmt"
	"strings"
	"time"
)

// systemRoots, in place of a path, stands for the authorities that the system
// trusts; only the driver of Postgres knows it.
const systemRoots = "system"

// Database is the Postgres that holds the queue of repair work.
type Database struct {
	// Host is a name or address, several of them with commas between, or the
	// directory of a Unix socket. Default: $PGHOST, else /var/run/postgresql; that
	// it is not set is a warning.
	Host string `toml:"host"`
	// Port is the TCP port, or the number in the socket's name. Default 5432.
	Port uint16 `toml:"port"`
	// User is the role to log in as. Default: $PGUSER, else the name of the
	// system's user.
	User string `toml:"user"`
	// Password is the role's password. Default: $PGPASSWORD, else the entry in ~/.pgpass, else
	// none.
	Password Secret `toml:"password"`
	// PasswordFile is a file that holds the password, in place of Password.
	PasswordFile string `toml:"password_file"`
	// DBName is the database. Default: the name of the user.
	DBName string `toml:"dbname"`
	// SSLMode is "require" (TLS), "verify-ca" (and a certificate of a known
	// authority), "verify-full" (and for this host), "disable" (plain text), or
	// "prefer" or "allow" (plain text if the server offers no TLS; a warning).
	// Default over TCP: verify-full with SSLRootCert, else require. A Unix
	// socket never has TLS, and is "disable".
	SSLMode string `toml:"sslmode"`
	// SSLCert is the PEM file of the client's certificate. It comes with SSLKey.
	SSLCert string `toml:"sslcert"`
	// SSLKey is the PEM file of the client's private key.
	SSLKey string `toml:"sslkey"`
	// SSLRootCert is the PEM file of the authority that signed the server's
	// certificate, or "system" for the authorities that the system trusts.
	SSLRootCert string `toml:"sslrootcert"`
	// ConnectTimeout bounds one attempt to connect; it is rounded up to whole
	// seconds. Default 5s.
	ConnectTimeout Duration `toml:"connect_timeout"`
}

// DSN returns the connection string for lib/pq, password included. A session
// that it opens is one that can write.
func (d Database) DSN() string {
	port := ""
	if d.Port != 0 {
		port = fmt.Sprint(d.Port)
	}
	timeout := ""
	if d.ConnectTimeout > 0 {
		rounded := time.Duration(d.ConnectTimeout) + time.Second - 1
		timeout = fmt.Sprint(int64(rounded / time.Second))
	}
	var parts []string
	for _, pair := range [][2]string{
		{"host", d.Host},
		{"port", port},
		{"user", d.User},
		{"password", d.Password.Reveal()},
		{"dbname", d.DBName},
		{"sslmode", d.sslMode()},
		{"sslcert", d.SSLCert},
		{"sslkey", d.SSLKey},
		{"sslrootcert", d.SSLRootCert},
		{"connect_timeout", timeout},
		{"application_name", "praefect"},
		{"target_session_attrs", "read-write"},
	} {
		if pair[1] != "" {
			parts = append(parts, pair[0]+"="+quoteDSN(pair[1]))
		}
	}
	return strings.Join(parts, " ")
}

// quoteDSN quotes a value if a connection string needs it to be.
func quoteDSN(value string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:,@", r)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return !plain(r) }) {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
	}
	return value
}

// sslMode returns the mode that is used: the value in the file, else the strictest one that works
// without further files.
func (d Database) sslMode() string {
	switch {
	case isSocketHost(d.Host):
		return "disable"
	case d.SSLMode != "":
		return d.SSLMode
	case d.SSLRootCert != "":
		return "verify-full"
	}
	return "require"
}

// isSocketHost tells whether the driver takes a host for the directory of a
// Unix socket; "@" begins an abstract one.
func isSocketHost(host string) bool {
	return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@")
}

// check judges the [database] section.
func (d Database) check(found *findings) {
	d.checkHost(found)
	if d.Port == 0 {
		found.add(keyPath("database", "port"), "must be from 1 to 65535")
	}
	switch d.SSLMode {
	case "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
	default:
		found.add(keyPath("database", "sslmode"),
			"%q is not known: write 'require', 'verify-ca', 'verify-full' or 'disable'", d.SSLMode)
	}
	if d.SSLRootCert == systemRoots && d.SSLMode != "verify-full" && !isSocketHost(d.Host) {
		found.add(keyPath("database", "sslrootcert"), "'system' needs sslmode = 'verify-full'")
	}
	if d.SSLCert != "" && d.SSLKey == "" {
		found.add(keyPath("database", "sslkey"), "not set, but sslcert needs its private key")
	}
	if d.SSLKey != "" && d.SSLCert == "" {
		found.add(keyPath("database", "sslcert"), "not set, but sslkey needs its certificate")
	}
	positive(found, keyPath("database", "connect_timeout"), d.ConnectTimeout)
}

func (d Database) checkHost(found *findings) {
	key := keyPath("database", "host")
	hosts := strings.Split(d.Host, ",")
	for _, host := range hosts {
		switch {
		case host == "" || strings.ContainsAny(host, " \t\r\n"):
			found.add(key, "%q is not a host: write names or addresses with commas and no spaces between", host)
		case isSocketHost(host) != isSocketHost(d.Host):
			// The driver decides about TLS by the first host alone.
			found.add(key, "Unix sockets and TCP hosts cannot be mixed, as only the latter have TLS: write one kind")
		}
	}
}
