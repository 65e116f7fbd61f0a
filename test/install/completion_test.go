package install

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
)

// halves are what is typed: half is the beginning of a word, and whole the word that a shell makes of it.
var halves = []struct{ program, half, whole string }{
	{cluster.Praefectctl, "que", "queue"},
	{cluster.Praefectctl, "queue dr", "drop"},
	{cluster.Praefect, "sql-p", "sql-ping"},
}

// TestPackage_shellsComplete: each shell reads the scripts of the package without a fault, and
// completes with them what a user types.
func TestPackage_shellsComplete(t *testing.T) {
	dir := t.TempDir()
	scripts := func(shell, program string) string { return filepath.Join(dir, shell, "_"+program) }
	for shell, reads := range map[string][]string{"bash": {"bash", "-n"}, "zsh": {"zsh", "-n"}, "fish": {"fish", "--no-execute"}} {
		must.Succeed(t, os.Mkdir(filepath.Join(dir, shell), 0o700))
		for _, program := range []string{cluster.Praefect, cluster.Praefectctl} {
			script, err := exec.CommandContext(t.Context(), built.Path(program), "completion", shell).Output()
			if err != nil || !strings.Contains(string(script), program) {
				t.Errorf("%s completion %s: %v: %s", program, shell, err, script)
			}
			path := scripts(shell, program)
			must.Succeed(t, os.WriteFile(path, script, 0o600))
			if out, err := exec.CommandContext(t.Context(), reads[0], append(reads[1:], path)...).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s reads the completion of %s: %v: %s", shell, program, err, out)
			}
		}
	}
	for _, h := range halves {
		line := h.program + " " + h.half
		for shell, command := range map[string][]string{
			// What bash calls for a line with the cursor at its end.
			"bash": {"bash", "-c", `source /usr/share/bash-completion/bash_completion; source "$1"; COMP_WORDS=($2) COMP_LINE=$2 COMP_POINT=${#2}; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
				"$3" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"; printf '%s\n' "${COMPREPLY[@]}"`,
				"bash", scripts("bash", h.program), line, bashFunction(t, scripts("bash", h.program))},
			"fish": {"fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", scripts("fish", h.program), line},
			// A terminal in which the line and Tab are typed; the script is loaded as from the package.
			"zsh": {"zsh", "-f", "-c", `zmodload zsh/zpty; zpty z zsh -f -i
				zpty -w z "PROMPT=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; print loa''ded"
				zpty -r z line '*loaded*'; zpty -w -n z "$2"$'\t'; zpty -r z line "*$3*"; print -r -- "$line"; zpty -d z`,
				"zsh", filepath.Join(dir, "zsh"), line, h.whole},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			run := exec.CommandContext(ctx, command[0], command[1:]...)
			run.Env = append(os.Environ(), "PATH="+filepath.Dir(built.Path(h.program))+":"+os.Getenv("PATH"), "HOME="+dir, "TERM=dumb")
			out, err := run.CombinedOutput()
			cancel()
			if err != nil || !strings.Contains(string(out), h.whole) {
				t.Errorf("%s makes of %q: %v: %q, want %s", shell, line, err, out, h.whole)
			}
		}
	}
}

// bashFunction is the function that a script registers.
func bashFunction(t *testing.T, script string) string {
	t.Helper()
	text, err := os.ReadFile(script)
	must.Succeed(t, err)
	at := strings.LastIndex(string(text), "-F ")
	if at < 0 {
		t.Fatalf("%s registers no function: %s", script, text)
	}
	name, _, _ := strings.Cut(string(text[at+len("-F "):]), " ")
	return name
}
