package install

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"praefect/test/must"
	"praefect/test/place"
)

// own is the machine of the person who follows the page: this one, with the programs of the
// package, and a scp that reaches the other machines.
type own struct {
	*testing.T
	dir string // where the commands run
	env []string
}

// scp copies into the root of the machine that has the address.
const scp = `#!/bin/bash
set -euo pipefail
[ "$1" = -r ]
host=${3#root@}; path=${host#*:}; host=${host%%:*}
root=$(grep "^$host " "$(dirname "$0")/machines" | cut -d' ' -f2)
cp -r "$2" "$root$path"
`

func newOwn(t *testing.T, machines []*machine) *own {
	t.Helper()
	tools := t.TempDir()
	must.Succeed(t, os.WriteFile(filepath.Join(tools, "scp"), []byte(scp), 0o755))
	var list strings.Builder
	for _, m := range machines {
		fmt.Fprintf(&list, "%s %s\n", m.place.IP, m.root)
	}
	must.Succeed(t, os.WriteFile(filepath.Join(tools, "machines"), []byte(list.String()), 0o600))
	return &own{T: t, dir: t.TempDir(), env: append(os.Environ(),
		"PATH="+tools+":"+string(built)+":"+os.Getenv("PATH"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Author", "GIT_AUTHOR_EMAIL=author@example.com", "GIT_COMMITTER_NAME=Author", "GIT_COMMITTER_EMAIL=author@example.com",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=init.defaultBranch", "GIT_CONFIG_VALUE_0=main",
	)}
}

// run carries out a command of the page.
func (o *own) run(ctx context.Context, command string) (string, error) {
	return shell(ctx, o.dir, o.env, command)
}

func shell(ctx context.Context, dir string, env []string, command string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, &out)
	}
	return out.String(), nil
}

// balancer is the host of HAProxy.
type balancer struct {
	*testing.T
	place  place.Place
	config string
}

// run carries out a command of the page; systemctl starts this machine's HAProxy there.
func (b *balancer) run(ctx context.Context, command string) (string, error) {
	path := "PATH=" + os.Getenv("PATH") + ":/usr/sbin"
	if strings.HasPrefix(command, "systemctl ") {
		if command != "systemctl restart haproxy" {
			return "", fmt.Errorf("it is not known how to %s", command)
		}
		haproxy, err := shell(ctx, "/", []string{path}, "command -v haproxy")
		if err == nil {
			start(b.T, b.place, strings.TrimSpace(haproxy), "-db", "-f", b.config)
		}
		return "", err
	}
	return shell(ctx, "/", []string{path}, command)
}
