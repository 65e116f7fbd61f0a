package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"praefect/test/must"
)

// commandLimit bounds each command of ours: they take milliseconds.
const commandLimit = 20 * time.Second

// programs are the needed programs, and the packages of Debian that have them.
var programs = [][2]string{
	{"ip", "iproute2"}, {"iptables", "iptables"}, {"nsenter", "util-linux"}, {"mount", "mount"},
	{"umount", "mount"}, {"fsfreeze", "util-linux"}, {"mkfs.ext4", "e2fsprogs"},
}

// Missing names the missing programs and rights: root, or a program.
func Missing() error {
	var missing []error
	if os.Geteuid() != 0 {
		missing = append(missing, errors.New("network namespaces need root"))
	}
	for _, p := range programs {
		if _, err := find(p[0]); err != nil {
			missing = append(missing, fmt.Errorf("%s is missing, on Debian: apt-get install %s", p[0], p[1]))
		}
	}
	return errors.Join(missing...)
}

// Run makes a network for a test, and skips the test if a need is missing; make test with CI=1
// counts a skipped test as a failure. The network goes at the test's end.
func Run(t testing.TB) *Testbed {
	t.Helper()
	if err := Missing(); err != nil {
		t.Skip(err)
	}
	l, err := Open(t.Context())
	must.Succeed(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// find looks for a program, beside the search path where Debian keeps root's.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if path, fault := exec.LookPath(dir + program); fault == nil {
			return path, nil
		}
	}
	return "", err
}

// run runs a command to its end; the error has its output.
func run(ctx context.Context, program string, args ...string) error {
	path, err := find(program)
	if err != nil {
		return fmt.Errorf("find %s: %w", program, err)
	}
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("run %s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
