package config

import (
	"testing"
	"time"
)

const dsnTail = " application_name=praefect target_session_attrs=read-write"

func TestDatabase_DSN(t *testing.T) {
	for _, tt := range []struct {
		name string
		db   Database
		want string
	}{
		{"plain", Database{Host: "db.internal", Port: 5432, User: "praefect", DBName: "praefect_production"},
			"host=db.internal port=5432 user=praefect dbname=praefect_production sslmode=require"},
		{"several hosts", Database{Host: "db1,10.0.0.2,::1"}, "host=db1,10.0.0.2,::1 sslmode=require"},
		{"space", Database{Host: "db", Password: "a b"}, `host=db password='a b' sslmode=require`},
		{"quote", Database{Host: "db", Password: `it's`}, `host=db password='it\'s' sslmode=require`},
		{"backslash", Database{Host: "db", Password: `a\b\\`}, `host=db password='a\\b\\\\' sslmode=require`},
		{"equals sign", Database{Host: "db", Password: "a=b"}, `host=db password='a=b' sslmode=require`},
		{"injection", Database{Host: "db", User: "x' sslmode='disable"}, `host=db user='x\' sslmode=\'disable' sslmode=require`},
		{"newline", Database{Host: "db", Password: "a\nb"}, "host=db password='a\nb' sslmode=require"},
		{"not ASCII", Database{Host: "db", Password: "päss wörd"}, "host=db password='päss wörd' sslmode=require"},
		{"root certificate", Database{Host: "db", SSLRootCert: "/a/ca.crt"}, "host=db sslmode=verify-full sslrootcert=/a/ca.crt"},
		{"client certificate", Database{Host: "db", SSLMode: "verify-ca", SSLCert: "/a/c.crt", SSLKey: "/a/c key", SSLRootCert: "/a/ca.crt"},
			"host=db sslmode=verify-ca sslcert=/a/c.crt sslkey='/a/c key' sslrootcert=/a/ca.crt"},
		{"plain text", Database{Host: "db", SSLMode: "disable"}, "host=db sslmode=disable"},
		{"Unix socket", Database{Host: "/run/postgresql", SSLMode: "require"}, "host=/run/postgresql sslmode=disable"},
		{"abstract socket", Database{Host: "@pg"}, "host=@pg sslmode=disable"},
		{"time bound", Database{Host: "db", ConnectTimeout: Duration(5 * time.Second)}, "host=db sslmode=require connect_timeout=5"},
		{"time bound in part", Database{Host: "db", ConnectTimeout: Duration(1100 * time.Millisecond)}, "host=db sslmode=require connect_timeout=2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			same(t, "DSN", tt.db.DSN(), tt.want+dsnTail)
		})
	}
}

func TestParse_sslmodeIsNeverPlainByItself(t *testing.T) {
	for section, want := range map[string]string{
		`host = "db"`:                             "require",
		`host = "db"` + "\nsslmode = ''":          "require",
		`host = "db"` + "\nsslrootcert = '/ca'":   "verify-full",
		`host = "db"` + "\nsslmode = 'disable'":   "disable",
		`host = "/run"`:                           "disable",
		`host = "/run"` + "\nsslmode = 'require'": "disable",
	} {
		c := parseText(t, `listen_addr = ":1"
[[virtual_storage]]
name = "a"
node = [{storage = "a", address = "unix:a"}]
[database]
`+section)
		if c.Database.SSLMode != want {
			t.Errorf("with %q sslmode is %q, want %q", section, c.Database.SSLMode, want)
		}
	}
}
