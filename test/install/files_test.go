package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"praefect/test/cluster"
	"praefect/test/must"
)

// TestPackage_filesAreAccepted: the programs that read the files of the package find no fault in
// them.
func TestPackage_filesAreAccepted(t *testing.T) {
	dir := t.TempDir()
	for _, program := range []string{cluster.Praefect, cluster.Praefectctl, cluster.GitRemoteGitaly} {
		manual := exec.CommandContext(t.Context(), "go", "run", "./deploy/packages/manual", built.Path(program))
		manual.Dir = filepath.Join("..", "..")
		text, err := manual.Output()
		must.Succeed(t, err)
		path := filepath.Join(dir, program+".1")
		must.Succeed(t, os.WriteFile(path, text, 0o600))
		read := exec.CommandContext(t.Context(), "man", "--warnings", "--local-file", path)
		read.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=100")
		var complaints strings.Builder
		read.Stderr = &complaints
		page, err := read.Output()
		if err != nil || complaints.Len() > 0 || !strings.Contains(string(page), program) {
			t.Errorf("the manual page of %s: %v: %s", program, err, &complaints)
		}
	}
	// logrotate wants its file to be root's alone, as the package installs it.
	rotation, err := os.ReadFile(filepath.Join(deployed, "packages", "logrotate"))
	must.Succeed(t, err)
	path := filepath.Join(dir, "logrotate")
	must.Succeed(t, os.WriteFile(path, rotation, 0o644))
	rotate, err := exec.LookPath("logrotate")
	if err != nil {
		rotate = "/usr/sbin/logrotate" // where Debian has it, off most people's path
	}
	out, err := exec.CommandContext(t.Context(), rotate, "--debug", "--state", filepath.Join(dir, "state"), path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "error:") || !strings.Contains(string(out), "/var/log/praefect/*.log") {
		t.Errorf("logrotate: %v: %s", err, out)
	}
}
