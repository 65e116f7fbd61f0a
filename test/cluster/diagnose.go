package cluster

import (
	"fmt"
	"io"
)

// Diagnose writes how each process is and the end of its log, for a test that
// failed.
func (c *Cluster) Diagnose(w io.Writer) {
	const kept = 16 << 10
	report := func(name, condition, log string) {
		text, err := readTail(log, 0, kept)
		if err != nil {
			text = err.Error() + "\n"
		}
		fmt.Fprintf(w, "== %s: %s; the end of %s:\n%s\n", name, condition, log, text)
	}
	for _, p := range c.processes() {
		condition := "never started"
		switch r := p.current(); {
		case r.alive():
			condition = fmt.Sprintf("process %d is running", r.command.Process.Pid)
		case r != nil:
			condition = fmt.Sprintf("process %d ended: %v", r.command.Process.Pid, r.state())
		}
		report(p.name, condition, p.log)
	}
	if c.Postgres != nil {
		report("postgres", fmt.Sprintf("process %d", c.Postgres.PID()), c.Postgres.Log())
	}
}
