package runbook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"praefect/test/cluster"
)

// startTimeout bounds the wait for the processes that a command starts, on a busy machine.
const startTimeout = 2 * time.Minute

// Host stands for the machine that a page speaks of: its service is a process of the
// cluster, and its paths are paths of the test.
type Host struct {
	// Input is the text that an operator types when a command asks.
	Input string
	// Env are further variables, "NAME=value".
	Env []string

	name    string
	carry   func(ctx context.Context, command string) (string, error) // instead of all below but paths
	cluster *cluster.Cluster
	unit    string            // the name of the service for systemctl
	process *cluster.Process  // the service
	praef   *cluster.Instance // the service as an instance; nil for a storage
	paths   []string          // pairs: a path as the pages write it, and its replacement
}

// OnMachine is a host of which the caller carries out the commands, after the paths are
// replaced: pairs of a text in the page and its replacement.
func OnMachine(name string, carry func(ctx context.Context, command string) (string, error), paths ...string) *Host {
	return &Host{name: name, carry: carry, paths: paths}
}

// OnInstance is the host of an instance. root stands for /root.
func OnInstance(c *cluster.Cluster, i *cluster.Instance, root string) *Host {
	return &Host{
		name: i.Label(), cluster: c, unit: "praefect", process: i.Process, praef: i,
		Env: []string{"INSTANCE=" + i.Label()},
		paths: []string{
			"/etc/praefect", i.Dir, "/var/lib/praefect/raft", i.RaftDir, "/root", root,
			"/usr/bin/praefect", c.Binaries.Path(cluster.Praefect), "localhost:9652", i.MetricsAddr,
		},
	}
}

// OnStorage is the host of a storage. root stands for /root.
func OnStorage(c *cluster.Cluster, s *cluster.Storage, root string) *Host {
	return &Host{
		name: s.Label(), cluster: c, unit: "gitaly", process: s.Process,
		Env:   []string{"STORAGE=" + s.Name},
		paths: []string{"/var/opt/gitlab/git-data/repositories", s.Dir, "/root", root, "/usr/local/bin", filepath.Dir(s.Program())},
	}
}

// statusError is the end of a command with an exit code.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("exit status %d: %s", e.code, e.text) }

// run carries out one command and returns its output; the error is a *statusError if the
// command ended with an exit code.
func (h *Host) run(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if h.carry != nil {
		return h.carry(ctx, strings.NewReplacer(h.paths...).Replace(command))
	}
	words := strings.Fields(command)
	switch words[0] {
	case "systemctl":
		if len(words) != 3 || words[2] != h.unit {
			return "", fmt.Errorf("this host has the service %s alone", h.unit)
		}
		if words[1] == "status" {
			return h.status()
		}
		return "", h.systemctl(ctx, words[1])
	case "journalctl":
		if len(words) != 5 || words[1] != "-u" || words[2] != h.unit || words[3] != "-n" {
			return "", fmt.Errorf("this host has the log of %s alone: journalctl -u %s -n LINES", h.unit, h.unit)
		}
		command = "tail -n " + words[4] + " " + h.process.Log()
	}
	command = strings.NewReplacer(h.paths...).Replace(command)
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", command)
	cmd.Env = append(append(os.Environ(), h.cluster.OperatorEnv()...), h.Env...)
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(h.cluster.Binaries.Path(cluster.Praefect))+string(filepath.ListSeparator)+os.Getenv("PATH"))
	cmd.Stdin = strings.NewReader(h.Input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return out.String(), &statusError{code: exit.ExitCode(), text: out.String()}
	}
	if err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, &out)
	}
	return out.String(), nil
}

// status is the answer of systemd about the service: 3 is its exit code for one that does not run.
func (h *Host) status() (string, error) {
	if h.process.Running() {
		return h.unit + ": active\n", nil
	}
	const inactive = 3
	return h.unit + ": inactive\n", &statusError{code: inactive, text: h.unit + " does not run"}
}

// systemctl acts on the service as systemd would.
func (h *Host) systemctl(ctx context.Context, verb string) error {
	switch verb {
	case "start":
		return h.process.Start()
	case "stop":
		return h.process.Terminate(ctx)
	case "restart":
		if err := h.process.Terminate(ctx); err != nil {
			return err
		}
		return h.process.Start()
	case "reload":
		return h.praef.Reload(ctx)
	}
	return fmt.Errorf("it is not known how to systemctl %s", verb)
}
