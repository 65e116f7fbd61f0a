package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// DSN is the connection string of a database for the role praefect, with the client certificate if the server wants one.
func (s *Server) DSN(database string) string {
	host, port, _ := strings.Cut(s.Addr(), ":")
	parts := [][2]string{{"host", host}, {"port", port}, {"user", role}, {"dbname", database}}
	if s.options.TLS {
		c := s.Certificates()
		parts = append(parts, [2]string{"sslmode", "verify-full"}, [2]string{"sslrootcert", c.CA},
			[2]string{"sslcert", c.Client}, [2]string{"sslkey", c.ClientKey})
	} else {
		parts = append(parts, [2]string{"sslmode", "disable"}, [2]string{"password", s.password})
	}
	words := make([]string, 0, len(parts))
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, p := range parts {
		words = append(words, p[0]+"='"+escape.Replace(p[1])+"'")
	}
	return strings.Join(words, " ")
}

// Environment are the variables ("NAME=value") by which PostgreSQL's own tools find the server, as its superuser.
func (s *Server) Environment() []string {
	host, port, _ := strings.Cut(s.Addr(), ":")
	return []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + superuser, "PGPASSWORD=" + s.password}
}

// NewDatabase makes an empty database, owned by the role of DSN, and returns its DSN. It takes some tens of
// milliseconds; the database goes when the server does.
func (s *Server) NewDatabase(ctx context.Context) (dsn string, err error) {
	name := "test_" + strconv.FormatInt(s.databases.Add(1), 10)
	if _, err := s.SQL(ctx, "postgres", fmt.Sprintf("create database %s owner %s", name, role)); err != nil {
		return "", err
	}
	return s.DSN(name), nil
}

// SQL runs statements as the superuser and returns their rows: columns joined by "|", one row a
// line. It goes through psql and the Unix socket, so that it works while a test disturbs the TCP
// side.
func (s *Server) SQL(ctx context.Context, database, statements string) (string, error) {
	psql := s.programs.command(ctx, "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
		"--set=ON_ERROR_STOP=1", "--host="+s.sockets, "--port="+strconv.Itoa(s.port), "--username="+superuser,
		"--dbname="+database, "--command="+statements)
	psql.Env = append(psql.Env, "PGPASSWORD="+s.password)
	psql.Dir = s.dir
	out, err := psql.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %q with psql: %w: %s", statements, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
