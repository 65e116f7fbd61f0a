package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// must ends a test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHAProxy_isAccepted(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		haproxy = "/usr/sbin/haproxy" // where Debian has it, off most people's path
	}
	for name, text := range map[string]string{"haproxy.cfg": HAProxy, "haproxy-resolvers.cfg": HAProxyResolvers} {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		check := exec.CommandContext(t.Context(), haproxy, "-c", "-f", path)
		check.Env = []string{"PRAEFECT_1=127.0.0.1:1", "PRAEFECT_2=127.0.0.1:2", "PRAEFECT_3=127.0.0.1:3"}
		out, err := check.CombinedOutput()
		if err != nil || strings.Contains(string(out), "WARNING") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// TestPlaybook_isAccepted: Ansible itself finds no fault in the playbook, and no group or module that it
// does not know.
func TestPlaybook_isAccepted(t *testing.T) {
	dir := t.TempDir()
	inventory := filepath.Join(dir, "hosts")
	must(t, os.WriteFile(inventory, []byte("[gitaly]\ngitaly-1\n[praefectctl]\npraefect-1\n"), 0o600))
	check := exec.CommandContext(t.Context(), "ansible-playbook", "--syntax-check", "--inventory", inventory, filepath.Join("ansible", "reboot-storage.yml"))
	check.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
	out, err := check.CombinedOutput()
	if err != nil || strings.Contains(string(out), "WARNING") || strings.Contains(string(out), "DEPRECATION") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestUnit_hasWhatTheInstanceReliesOn(t *testing.T) {
	for _, want := range []string{
		"StateDirectory=praefect\n", "KillSignal=SIGTERM\n", "Restart=always\n", fmt.Sprintf("Nice=%d\n", Nice),
		"StartLimitIntervalSec=0\n", "RestartPreventExitStatus=2 5\n", "ExecReload=/bin/kill -HUP $MAINPID\n", "Type=notify\n",
		"MemoryMax=4G\n", "GOMEMLIMIT=3GiB\n", "LimitCORE=0\n", "CapabilityBoundingSet=\n", "SystemCallFilter=@system-service\n",
	} {
		if !strings.Contains(Unit, "\n"+want) && !strings.Contains(Unit, "\nEnvironment="+want) {
			t.Errorf("no line %q", want)
		}
	}
}

// systemd itself finds nothing to complain of.
func TestUnit_isAccepted(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "praefect")
	must(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	path := filepath.Join(dir, "praefect.service")
	must(t, os.WriteFile(path, []byte(strings.Replace(Unit, "/usr/bin/praefect", program, 1)), 0o600))
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
	// 0 would be perfectly shut off; a service that serves the network and needs a
	// writable directory cannot be.
	out, err = exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", path).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v: %s", err, out)
	}
}
