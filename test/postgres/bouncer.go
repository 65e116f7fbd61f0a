package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"praefect/test/place"
)

// Bouncer is a running PgBouncer in front of one database of a server, in transaction mode.
type Bouncer struct {
	dir    string
	server *exec.Cmd
	exited <-chan struct{}
	dsn    string
}

// bouncerProgram is where Debian has PgBouncer, off most people's path.
const bouncerProgram = "/usr/sbin/pgbouncer"

// LaunchBouncer starts a PgBouncer with a pool of so many connections to a database that NewDatabase made. The caller
// owns it and calls Close.
func (s *Server) LaunchBouncer(ctx context.Context, dsn string, pool int) (*Bouncer, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = bouncerProgram
	}
	dir, err := os.MkdirTemp("", "bouncer-")
	if err != nil {
		return nil, fmt.Errorf("make the directory of pgbouncer: %w", err)
	}
	b := &Bouncer{dir: dir}
	port, err := freePort(ctx)
	if err == nil {
		err = s.programs.own(dir)
	}
	if err == nil {
		err = b.start(s, program, dsn, port, pool)
	}
	if err == nil {
		err = b.awaitReady(ctx, port)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start pgbouncer: %w", err), b.Close())
	}
	return b, nil
}

// DSN is the connection string of the database through it.
func (b *Bouncer) DSN() string { return b.dsn }

// start writes the settings, for a Praefect behind a PgBouncer, and starts the process. Every
// client is let in, as the role of the string.
func (b *Bouncer) start(s *Server, program, dsn string, port, pool int) error {
	config := fmt.Sprintf(`[databases]
praefect = %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
`, serverWords(dsn), port, pool)
	path := filepath.Join(b.dir, "pgbouncer.ini")
	if err := s.programs.writeFile(path, []byte(config)); err != nil {
		return err
	}
	log, err := os.OpenFile(b.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own copy of the descriptor
	b.server = exec.Command(program, path)
	b.server.Dir, b.server.Stdout, b.server.Stderr = b.dir, log, log
	b.server.SysProcAttr = &syscall.SysProcAttr{Credential: s.programs.credential, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	b.exited, err = place.Place{}.Start(b.server)
	b.dsn = fmt.Sprintf("host='127.0.0.1' port='%d' user='%s' dbname='praefect' sslmode='disable' password='any'", port, role)
	return err
}

// serverWords are the words of a connection string that PgBouncer knows.
func serverWords(dsn string) string {
	var words []string
	for _, word := range strings.Fields(dsn) {
		if !strings.HasPrefix(word, "sslmode=") {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

func (b *Bouncer) log() string { return filepath.Join(b.dir, "log") }

func (b *Bouncer) awaitReady(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-b.exited:
			said, err := os.ReadFile(b.log())
			return errors.Join(fmt.Errorf("it ended at once: %s", said), err)
		case <-tick.C:
		}
	}
}

// Close ends it at once: it keeps nothing.
func (b *Bouncer) Close() error {
	var err error
	if b.exited != nil {
		err = ignoreGone(b.server.Process.Kill())
		<-b.exited
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}
