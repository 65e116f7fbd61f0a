// Package postgres owns private, real PostgreSQL servers: one is initialised in a directory of its
// own, started on a free port of the loopback address or in a place of its own, stopped, killed,
// paused and removed. It promises that no server outlives the process that launched it, however
// that process ends (unless Options.Detached says so), and that a machine without PostgreSQL gets
// an error that names the packages to install. Tests and the demo may use it; nothing of the
// product may.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"praefect/test/place"
)

// launchConf holds the settings of the last launch, beside postgresql.conf.
const launchConf = "launch.conf"

// elsewherePort is the port in a place of its own.
const elsewherePort = 5432

// role is the unprivileged role that DSN and NewDatabase hand out; superuser is the one that initdb makes.
const (
	role      = "praefect"
	superuser = "postgres"
)

// Options describe a server. The zero value is a throw-away server with fsync on and passwords over plain TCP.
type Options struct {
	// Dir holds everything of the server. Empty: a temporary directory that Close removes. Otherwise the directory is
	// made when missing, kept by Close, and its data are used again when they are there.
	Dir string
	// Port on the loopback address; 0 picks a free one. It stays the same over Stop and Start.
	Port int
	// TLS makes the server refuse connections without TLS and without a client certificate of its own authority.
	TLS bool
	// Settings are written into postgresql.conf, over the defaults of this package.
	Settings map[string]string
	// Place is where the server runs. Elsewhere than here it listens on a fixed port, without TLS.
	Place place.Place
	// Detached leaves the server running when the launching process ends. A caller that sets it
	// stops the server by PID.
	Detached bool
}

// Server is one PostgreSQL server. Its methods are for one goroutine at a time, except DSN, Addr, SQL and NewDatabase.
type Server struct {
	options   Options
	programs  programs
	dir       string
	temporary bool
	sockets   string
	port      int
	password  string
	databases atomic.Int64
	run       *process // nil while stopped
}

// Launch initialises a server and starts it. The caller owns it and calls Close.
func Launch(ctx context.Context, options Options) (*Server, error) {
	found, err := findPrograms()
	if err != nil {
		return nil, err
	}
	if !options.Place.Here() {
		options.Port = elsewherePort // no other process listens there
	}
	s := &Server{options: options, programs: found, port: options.Port}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.launch(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// launch starts the server, on another port if the chosen one was taken in between, and makes the
// role.
func (s *Server) launch(ctx context.Context) error {
	const tries = 5
	for try := 1; ; try++ {
		if s.options.Port == 0 {
			port, err := freePort(ctx)
			if err != nil {
				return err
			}
			s.port = port
		}
		err := s.Start(ctx)
		if err == nil {
			break
		}
		if try == tries || s.options.Port != 0 || !strings.Contains(err.Error(), "could not bind") {
			return err
		}
	}
	_, err := s.SQL(ctx, "postgres", fmt.Sprintf(
		`do $$ begin if not exists (select from pg_roles where rolname = '%[1]s') then
		 create role %[1]s login password '%[2]s'; end if; end $$`, role, s.password))
	return err
}

// Start starts a stopped server and returns once it accepts connections.
func (s *Server) Start(ctx context.Context) error {
	if s.run != nil {
		return errors.New("start postgres: it is running")
	}
	run, err := s.spawn(ctx)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.run = run
	return nil
}

// Mode is a way to stop a server.
type Mode int

const (
	// Fast rolls back open transactions, writes everything out and ends.
	Fast Mode = iota
	// Immediate ends at once, as in a crash: the next start recovers from the log.
	Immediate
)

// Stop ends the server and returns when all its processes are gone. Stopping a stopped server does nothing.
func (s *Server) Stop(mode Mode) error {
	if s.run == nil {
		return nil
	}
	err := s.run.stop(mode)
	s.run = nil
	if err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	return nil
}

// Restart stops the server if it runs, and starts it.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	if err := s.Stop(mode); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Pause stops every process of the server with SIGSTOP: connections stay open, and nothing answers.
func (s *Server) Pause() error {
	if s.run == nil {
		return errors.New("pause postgres: it is stopped")
	}
	return s.run.pause()
}

// Resume ends a Pause.
func (s *Server) Resume() error {
	if s.run == nil {
		return errors.New("resume postgres: it is stopped")
	}
	return s.run.resume()
}

// Close stops the server at once and removes its directory, unless Options.Dir named one.
func (s *Server) Close() error {
	err := s.Stop(Immediate)
	if s.sockets != s.dir {
		err = errors.Join(err, os.RemoveAll(s.sockets))
	}
	if s.temporary {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// PID is the process id of the server, 0 while it is stopped.
func (s *Server) PID() int {
	if s.run == nil {
		return 0
	}
	return s.run.pid()
}

// Addr is the server's host:port.
func (s *Server) Addr() string {
	return net.JoinHostPort(s.options.Place.Address(), strconv.Itoa(s.port))
}

// Log is the path of the server's log file.
func (s *Server) Log() string { return filepath.Join(s.dir, "log") }

// prepare makes the directory and, if there are none yet, the data in it.
func (s *Server) prepare(ctx context.Context) error {
	s.dir = s.options.Dir
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "pg-")
		if err != nil {
			return fmt.Errorf("make the directory of postgres: %w", err)
		}
		s.dir, s.temporary = dir, true
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of postgres: %w", err)
	}
	if err := s.programs.own(s.dir); err != nil {
		return err
	}
	if err := s.chooseSockets(); err != nil {
		return err
	}
	passwordFile := filepath.Join(s.dir, "password")
	if _, err := os.Stat(filepath.Join(s.data(), "PG_VERSION")); err == nil {
		password, err := os.ReadFile(passwordFile)
		if err != nil {
			return fmt.Errorf("read the password of an existing postgres: %w", err)
		}
		s.password = string(password)
		return s.configure()
	}
	s.password = randomPassword()
	if err := s.programs.writeFile(passwordFile, []byte(s.password)); err != nil {
		return err
	}
	return s.initialise(ctx, passwordFile)
}

// initialise runs initdb. It need not sync: a machine that fails now leaves a forgotten directory.
func (s *Server) initialise(ctx context.Context, passwordFile string) error {
	initdb := s.programs.command(ctx, "initdb", "--no-sync", "--no-locale", "--encoding=UTF8",
		"--username="+superuser, "--auth=scram-sha-256", "--pwfile="+passwordFile, "--pgdata="+s.data())
	initdb.Dir = s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("run initdb: %w: %s", err, out)
	}
	if s.options.TLS {
		if err := s.secure(); err != nil {
			return err
		}
	}
	if !s.options.Place.Here() {
		const admission = "local all all scram-sha-256\nhost all all all scram-sha-256\n"
		if err := s.programs.writeFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(admission)); err != nil {
			return err
		}
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open postgresql.conf: %w", err)
	}
	_, err = fmt.Fprintf(conf, "include '%s'\n", launchConf)
	if err := errors.Join(err, conf.Close()); err != nil {
		return fmt.Errorf("write postgresql.conf: %w", err)
	}
	return s.configure()
}

// configure writes the settings that the caller may choose at each launch into a file that
// postgresql.conf includes; ALTER SYSTEM still overrides it.
func (s *Server) configure() error {
	settings := map[string]string{
		"listen_addresses":        s.options.Place.Address(),
		"unix_socket_permissions": "0700",
		"max_connections":         "60",
		"shared_buffers":          "64MB",
		"log_line_prefix":         "%m [%p] %u@%d ",
	}
	maps.Copy(settings, s.options.Settings)
	if s.options.TLS {
		maps.Copy(settings, s.tlsSettings())
	}
	var conf strings.Builder
	for name, value := range settings {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	return s.programs.writeFile(filepath.Join(s.data(), launchConf), []byte(conf.String()))
}

// chooseSockets picks where the Unix socket lives: its path may have 107 bytes, which a long TMPDIR would exceed.
func (s *Server) chooseSockets() error {
	const longest = 107 - len("/.s.PGSQL.65535.lock")
	if len(s.dir) <= longest {
		s.sockets = s.dir
		return nil
	}
	dir, err := os.MkdirTemp("/tmp", "pg-")
	if err != nil {
		return fmt.Errorf("make the socket directory of postgres: %w", err)
	}
	s.sockets = dir
	return s.programs.own(dir)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }
