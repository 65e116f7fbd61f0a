package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = time.Minute      // recovery after a crash included
	stopLimit  = 20 * time.Second // then the processes are killed
	pollEvery  = 5 * time.Millisecond
)

// process is a running server: the postmaster and, unless detached, the watchdog that outlives us for its sake.
type process struct {
	server   *exec.Cmd
	exited   <-chan struct{} // closed when the postmaster is gone
	watchdog *exec.Cmd       // nil when detached
	leash    io.WriteCloser
}

// spawn starts the postmaster and waits until it accepts connections.
func (s *Server) spawn(ctx context.Context) (*process, error) {
	log, err := os.OpenFile(s.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = log.Close() }() // the children have their own copies of the descriptor
	end, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("find the end of the log: %w", err)
	}

	// The server's life is not the context's: Stop ends it.
	server := s.programs.command(context.WithoutCancel(ctx), "postgres", "-D", s.data(), "-p", strconv.Itoa(s.port), "-k", s.sockets)
	server.Dir, server.Stdout, server.Stderr = s.dir, log, log
	// A group of its own: a Ctrl-C in the terminal is for us, and we stop the server.
	server.SysProcAttr.Setpgid = true
	exited, err := s.options.Place.Start(server)
	if err != nil {
		return nil, err
	}
	p := &process{server: server, exited: exited}
	if !s.options.Detached {
		if err := p.tie(ctx, s); err != nil {
			return nil, errors.Join(err, p.stop(Immediate))
		}
	}
	if err := p.awaitReady(ctx, filepath.Join(s.data(), "postmaster.pid")); err != nil {
		return nil, errors.Join(err, p.stop(Immediate), s.logSince(end))
	}
	return p, nil
}

// tie starts the watchdog: a shell that blocks reading a pipe which only we hold open. A line means
// that we have stopped the server ourselves; the end of the file means that we are gone, even after
// SIGKILL, and it stops the server.
func (p *process) tie(ctx context.Context, s *Server) error {
	const script = `read line && exit 0
kill -QUIT "$1"; kill -CONT "$1"
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 1; done
[ -z "$2" ] || rm -rf "$2"`
	remove := ""
	if s.temporary {
		remove = s.dir
	}
	watchdog := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", script, "watchdog", strconv.Itoa(p.pid()), remove)
	watchdog.Dir = "/"
	watchdog.SysProcAttr = &syscall.SysProcAttr{Credential: s.programs.credential, Setpgid: true}
	leash, err := watchdog.StdinPipe()
	if err != nil {
		return fmt.Errorf("make the watchdog's pipe: %w", err)
	}
	if err := watchdog.Start(); err != nil {
		return fmt.Errorf("start the watchdog: %w", err)
	}
	p.watchdog, p.leash = watchdog, leash
	return nil
}

// awaitReady polls the line of the pid file in which the postmaster says that it accepts connections.
func (p *process) awaitReady(ctx context.Context, pidFile string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	const statusLine = 7
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it accepts connections: %w", ctx.Err())
		case <-p.exited:
			return fmt.Errorf("it ended at once: %v", p.server.ProcessState)
		case <-tick.C:
		}
		content, err := os.ReadFile(pidFile)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read its pid file: %w", err)
		}
		lines := strings.Split(string(content), "\n")
		ours := lines[0] == strconv.Itoa(p.pid()) // a crash leaves the file of the run before
		if ours && len(lines) > statusLine && strings.TrimSpace(lines[statusLine]) == "ready" {
			return nil
		}
	}
}

// logSince is the server's output during a start that went wrong, as an error.
func (s *Server) logSince(offset int64) error {
	content, err := os.ReadFile(s.Log())
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	return fmt.Errorf("its log says: %s", content[min(offset, int64(len(content))):])
}

func (p *process) pid() int { return p.server.Process.Pid }

// stop ends the postmaster, and kills its remaining processes after a while.
func (p *process) stop(mode Mode) error {
	how := syscall.SIGINT
	if mode == Immediate {
		how = syscall.SIGQUIT
	}
	err := ignoreGone(p.server.Process.Signal(how))
	err = errors.Join(err, p.resume()) // a paused process gets its signal when it goes on
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.exited:
	case <-limit.C:
		err = errors.Join(err, fmt.Errorf("it did not end within %v and was killed", stopLimit), p.kill())
		<-p.exited
	}
	return errors.Join(err, p.untie())
}

// kill ends the postmaster and its children without asking them.
func (p *process) kill() error {
	family, err := p.family()
	for _, pid := range family {
		err = errors.Join(err, ignoreGone(syscall.Kill(pid, syscall.SIGKILL)))
	}
	return err
}

// untie tells the watchdog that its work is done.
func (p *process) untie() error {
	if p.watchdog == nil {
		return nil
	}
	_, err := io.WriteString(p.leash, "\n")
	return errors.Join(err, p.leash.Close(), p.watchdog.Wait())
}

// pause stops the postmaster first, so that no child is born in the meantime.
func (p *process) pause() error {
	if err := p.server.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause postgres: %w", err)
	}
	return p.signalFamily(syscall.SIGSTOP)
}

func (p *process) resume() error { return p.signalFamily(syscall.SIGCONT) }

func (p *process) signalFamily(signal syscall.Signal) error {
	family, err := p.family()
	for _, pid := range family {
		err = errors.Join(err, ignoreGone(syscall.Kill(pid, signal)))
	}
	if err != nil {
		return fmt.Errorf("send %v to postgres: %w", signal, err)
	}
	return nil
}

// family is the postmaster and its children. Each of them leads a session of its own, so no group signal reaches them.
func (p *process) family() ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	family := []int{p.pid()}
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it ended between the two looks
		}
		// pid (name) state parent …, where the name may hold anything.
		_, rest, found := strings.Cut(string(content[slices.Index(content, '(')+1:]), ") ")
		fields := strings.Fields(rest)
		if !found || len(fields) < 2 || fields[1] != strconv.Itoa(p.pid()) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, fmt.Errorf("read the process id in %q: %w", path, err)
		}
		family = append(family, child)
	}
	return family, nil
}

// ignoreGone drops the error of a signal to a process that has ended already.
func ignoreGone(err error) error {
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
