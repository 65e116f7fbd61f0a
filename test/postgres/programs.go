package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// installed is where Debian's packages put the server programs, which it keeps off the search path.
const installed = "/usr/lib/postgresql/*/bin"

// programs are PostgreSQL's programs, and the user to run them as: the server refuses to run as root.
type programs struct {
	dir        string
	credential *syscall.Credential // nil: as our own user
}

// findPrograms looks where Debian installs the server, newest version first, then on the search path.
func findPrograms() (programs, error) {
	dir, err := findServer()
	if err != nil {
		return programs{}, err
	}
	p := programs{dir: dir}
	if os.Geteuid() == 0 {
		if p.credential, err = unprivileged(); err != nil {
			return programs{}, err
		}
	}
	return p, nil
}

func findServer() (string, error) {
	dirs, err := filepath.Glob(installed)
	if err != nil {
		return "", fmt.Errorf("look for postgres in %s: %w", installed, err)
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(major(b), major(a)) })
	for _, dir := range dirs {
		if _, err := exec.LookPath(filepath.Join(dir, "postgres")); err == nil {
			return dir, nil
		}
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("no PostgreSQL server in %s or on the path: install one of version 14 or newer, "+
			"on Debian with: apt-get install postgresql: %w", installed, err)
	}
	return filepath.Dir(path), nil
}

// major is the version in the name of an installation directory, 0 if there is none.
func major(dir string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if err != nil {
		return 0
	}
	return n
}

// unprivileged is the user that root runs the server as.
func unprivileged() (*syscall.Credential, error) {
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("read the ids of user %q: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("root needs another user to run postgres as: %w", errors.Join(errs...))
}

// command is one of the programs with a clean environment: the caller's PG* variables would change
// its behaviour.
func (p programs) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.dir, name), args...)
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	return cmd
}

// own gives a file or directory to the user that the server runs as.
func (p programs) own(path string) error {
	if p.credential == nil {
		return nil
	}
	if err := os.Chown(path, int(p.credential.Uid), int(p.credential.Gid)); err != nil {
		return fmt.Errorf("give %q to the user of postgres: %w", path, err)
	}
	return nil
}

// writeFile writes a file that only the user of the server can read.
func (p programs) writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return p.own(path)
}

// freePort picks a port below the range for outgoing connections, so that it is still free after a
// Stop.
func freePort(ctx context.Context) (int, error) {
	const lowest, highest, tries = 10000, 32000, 100
	var config net.ListenConfig
	for range tries {
		port := lowest + mathrand.IntN(highest-lowest)
		listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue // taken: the next one
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("release port %d: %w", port, err)
		}
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d in %d tries", lowest, highest, tries)
}

func randomPassword() string { return strings.ToLower(rand.Text()) }
