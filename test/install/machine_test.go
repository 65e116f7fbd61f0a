package install

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"praefect/test/must"
	"praefect/test/place"
)

// patience bounds each wait, on a busy machine.
const patience = 5 * time.Minute

// machine is a Debian of its own: a root directory over the common one, and an address.
type machine struct {
	*testing.T
	root    string
	place   place.Place
	service *service // of the unit praefect; nil while it does not run
	enabled bool
}

// service is a started unit.
type service struct {
	command *exec.Cmd
	ended   <-chan struct{}
	log     *os.File
}

// newMachine lays a root over base, which all machines share.
func newMachine(t *testing.T, base string, at place.Place) *machine {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"upper", "work", "root"} {
		must.Succeed(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	m := &machine{T: t, root: filepath.Join(dir, "root"), place: at}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", base, filepath.Join(dir, "upper"), filepath.Join(dir, "work"))
	must.Succeed(t, unix.Mount("overlay", m.root, "overlay", 0, options))
	t.Cleanup(func() {
		if err := unix.Unmount(m.root, 0); err != nil {
			t.Errorf("unmount %s: %v", m.root, err)
		}
	})
	// An installer of Debian writes this one.
	must.Succeed(t, os.WriteFile(filepath.Join(m.root, "etc/hosts"), []byte("127.0.0.1 localhost\n"), 0o644))
	return m
}

// run carries out a command of the page on the machine, as root.
func (m *machine) run(ctx context.Context, command string) (string, error) {
	if words := strings.Fields(command); words[0] == "systemctl" {
		return "", m.systemctl(ctx, words[1:])
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "/bin/bash", "-euo", "pipefail", "-c", command)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	cmd.Dir = "/root"
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root}
	ended, err := m.place.Start(cmd)
	if err != nil {
		return "", err
	}
	<-ended
	if !cmd.ProcessState.Success() {
		return out.String(), fmt.Errorf("%s: %s", cmd.ProcessState, &out)
	}
	return out.String(), nil
}

// systemctl does what systemd would do with the unit that the package installed: there is no
// systemd in the roots.
func (m *machine) systemctl(ctx context.Context, words []string) error {
	switch line := strings.Join(words, " "); line {
	case "enable --now praefect":
		m.enabled = true
		return m.start(ctx)
	case "restart praefect":
		if err := m.stop(ctx); err != nil {
			return err
		}
		return m.start(ctx)
	default:
		return fmt.Errorf("it is not known how to systemctl %s", line)
	}
}

// unit reads the lines of the installed unit.
func (m *machine) unit() (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(m.root, "usr/lib/systemd/system/praefect.service"))
	if err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			values[key] = value
		}
	}
	return values, nil
}

// id looks for a user or group of the machine.
func (m *machine) id(file, name string) (uint32, error) {
	text, err := os.ReadFile(filepath.Join(m.root, "etc", file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(line, ":"); fields[0] == name {
			id, err := strconv.ParseUint(fields[2], 10, 32)
			return uint32(id), err
		}
	}
	return 0, fmt.Errorf("the machine has no %q in %s", name, file)
}

// start starts the unit as its lines say, and returns once the process has told that it runs.
func (m *machine) start(ctx context.Context) error {
	unit, err := m.unit()
	if err != nil {
		return err
	}
	uid, err := m.id("passwd", unit["User"])
	if err != nil {
		return err
	}
	gid, err := m.id("group", unit["Group"])
	if err != nil {
		return err
	}
	const notify = "/run/notify"
	socket := filepath.Join(m.root, notify)
	if err := os.RemoveAll(socket); err != nil {
		return err
	}
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { _ = told.Close() }() // only this start listens to it
	if err := os.Chmod(socket, 0o777); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(m.root, "journal"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	words := strings.Fields(unit["ExecStart"])
	cmd := &exec.Cmd{Path: words[0], Args: words, Dir: "/", Stdout: log, Stderr: log}
	cmd.Env = []string{"PATH=/usr/bin:/bin", "NOTIFY_SOCKET=" + notify, "STATE_DIRECTORY=/var/lib/" + unit["StateDirectory"]}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: m.root, Credential: &syscall.Credential{Uid: uid, Gid: gid}, Pdeathsig: syscall.SIGKILL,
	}
	ended, err := m.place.Start(cmd)
	if err != nil {
		return err
	}
	m.service = &service{command: cmd, ended: ended, log: log}
	message := make([]byte, 1024)
	for {
		if err := told.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		n, _, err := told.ReadFromUnix(message)
		if err != nil {
			return fmt.Errorf("the instance did not tell that it runs: %w: %s", err, m.journal())
		}
		if strings.Contains(string(message[:n]), "READY=1") {
			return ctx.Err()
		}
	}
}

// stop stops the unit with the signal that it names.
func (m *machine) stop(context.Context) error {
	s := m.service
	if s == nil {
		return nil
	}
	m.service = nil
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		return fmt.Errorf("the instance did not end: %s", m.journal())
	}
	if !s.command.ProcessState.Success() {
		return fmt.Errorf("the instance ended with %s: %s", s.command.ProcessState, m.journal())
	}
	return s.log.Close()
}

// journal is the end of what the instance wrote.
func (m *machine) journal() string {
	text, err := os.ReadFile(filepath.Join(m.root, "journal"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4096):])
}
