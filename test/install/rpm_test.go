package install

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestPackage_rpm builds the packages and judges the rpm, which no machine of these tests installs.
func TestPackage_rpm(t *testing.T) { packageOf(t, t.TempDir(), "1.2.3") }

// judgeRPM asks the rpm, by Debian's program for it, for its scripts, its settings and its files:
// they are those of the deb, but for the place of zsh.
func judgeRPM(t *testing.T, rpm, deb string) {
	t.Helper()
	query := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "rpm", append([]string{"--query", "--package", rpm}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ask the rpm for %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	if got, want := query("--configfiles"), "/etc/logrotate.d/praefect\n/etc/praefect/config.toml\n"; got != want {
		t.Errorf("the settings of the rpm are %q, want %q", got, want)
	}
	scripts := query("--scripts")
	for _, want := range []string{"postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet", "useradd --system", "disable --now praefect.service"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("the rpm lacks %q: %s", want, scripts)
		}
	}
	// An installation starts nothing, and an upgrade restarts no member of a quorum; the scripts only
	// say how.
	for line := range strings.Lines(scripts) {
		verb, is := strings.CutPrefix(strings.TrimSpace(line), "systemctl ")
		if is && !strings.HasPrefix(verb, "daemon-reload") && !strings.HasPrefix(verb, "disable --now praefect.service") {
			t.Errorf("a script of the rpm carries out %q", line)
		}
	}
	if requires := query("--requires"); !strings.Contains(requires, "shadow-utils") {
		t.Errorf("the rpm requires %s, want useradd's package", requires)
	}
	files := strings.Fields(strings.ReplaceAll(query("--list"), "/zsh/site-functions/", "/zsh/vendor-completions/"))
	listed, err := exec.CommandContext(t.Context(), "dpkg-deb", "--contents", deb).Output()
	if err != nil {
		t.Fatalf("ask the deb: %v", err)
	}
	var ofDeb []string
	for line := range strings.Lines(string(listed)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(strings.TrimSuffix(fields[5], "/"), ".")
		if !strings.HasPrefix(fields[0], "d") || slices.Contains([]string{"/etc/praefect", "/var/lib/praefect", "/var/log/praefect"}, name) {
			ofDeb = append(ofDeb, name)
		}
	}
	slices.Sort(files)
	slices.Sort(ofDeb)
	if !slices.Equal(files, ofDeb) || len(files) < 40 {
		t.Errorf("the rpm has %q, the deb %q", files, ofDeb)
	}
	modes := query("--queryformat", "[%{FILENAMES} %{FILEMODES:perms}\n]")
	for _, want := range []string{
		"/usr/bin/praefect -rwxr-xr-x\n", "/usr/bin/praefectctl -rwxr-xr-x\n", "/usr/bin/git-remote-gitalys l", "/etc/praefect/config.toml -rw-r-----\n",
		"/etc/praefect drwxr-x---\n", "/var/lib/praefect drwx------\n", "/usr/lib/systemd/system/praefect.service -rw-r--r--\n",
	} {
		if !strings.Contains(modes, want) {
			t.Errorf("the rpm has no %q: %s", want, modes)
		}
	}
}
