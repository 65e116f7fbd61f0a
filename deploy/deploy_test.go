package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestHAProxy_isAccepted(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		haproxy = "/usr/sbin/haproxy" // where Debian has it, off most people's path
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(HAProxy), 0o600); err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), haproxy, "-c", "-f", path)
	check.Env = []string{"PRAEFECT_1=127.0.0.1:1", "PRAEFECT_2=127.0.0.1:2", "PRAEFECT_3=127.0.0.1:3"}
	out, err := check.CombinedOutput()
	if err != nil || strings.Contains(string(out), "WARNING") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestUnit_hasWhatTheInstanceReliesOn(t *testing.T) {
	for _, want := range []string{"StateDirectory=praefect\n", "KillSignal=SIGTERM\n", "Restart=always\n", fmt.Sprintf("Nice=%d\n", Nice)} {
		if !strings.Contains(Unit, want) {
			t.Errorf("no line %q", want)
		}
	}
}
