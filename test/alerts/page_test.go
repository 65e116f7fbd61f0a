package alerts

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"praefect/test/cluster"
	"praefect/test/runbook"
	"praefect/test/scenario"
)

// Exit codes of commands that answer by them.
const (
	well, failed, degraded, unavailable = 0, 1, 3, 4
	// unreadable is that of praefect configuration validate for a file that is no TOML.
	unreadable = 2
	// stopped is what systemctl status says of a service that does not run.
	stopped = 3
)

// on is the host of an instance.
func (w *harness) on(i *cluster.Instance) *runbook.Host {
	return runbook.OnInstance(w.c, i, w.TempDir())
}

func (w *harness) onStorage(s *cluster.Storage) *runbook.Host {
	return runbook.OnStorage(w.c, s, w.TempDir())
}

// operator is a host on which praefectctl knows the cluster.
func (w *harness) operator() *runbook.Host { return w.on(w.c.Instances[0]) }

// operatorOf is such a host, with a repository that the page calls REPOSITORY.
func (w *harness) operatorOf(repository string) *runbook.Host {
	h := w.operator()
	h.Env = append(h.Env, "REPOSITORY="+repository)
	return h
}

// onPostgres is the host of Postgres, whose service can be started.
func (w *harness) onPostgres() *runbook.Host {
	return runbook.OnMachine("postgres", func(ctx context.Context, command string) (string, error) {
		if command != "systemctl start postgresql" {
			return "", errors.New("this host has the service postgresql alone")
		}
		return "", w.c.Postgres.Start(ctx)
	})
}

// answers carries out a block of the page until it ends with the code and names every part: an
// alert may fire before the instance that is asked has heard of the fault.
func (w *harness) answers(h *runbook.Host, block string, code int, parts ...string) {
	w.Helper()
	scenario.Within(w.T, patience, "the commands of "+block+" answer", func(context.Context) error {
		printed, got, err := w.page.Ask(h, block)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if !strings.Contains(printed, part) {
				return fmt.Errorf("no %q in: %s", part, printed)
			}
		}
		if got != code {
			return fmt.Errorf("exit code %d, want %d: %s", got, code, printed)
		}
		return nil
	})
}

// fix carries out a block that must succeed.
func (w *harness) fix(h *runbook.Host, block string) {
	w.Helper()
	w.page.CarryOut(h, block)
}
