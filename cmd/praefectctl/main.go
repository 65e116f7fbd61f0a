// Command praefectctl is the operator's tool: it shows the state of the cluster, and changes it, by
// asking a running instance. It owns the output for people and scripts. It promises the same names
// in tables and JSON, documented exit codes, and an end within its timeout; after a change that did
// not succeed it says whether anything has changed. People and scripts run it.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p := &program{
		version: version, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, hostname: os.Hostname,
		terminal: isTerminal(os.Stdout), interactive: isTerminal(os.Stdin) && isTerminal(os.Stderr), account: account, size: func() (int, int) { return size(os.Stdout) }, newID: rand.Text,
	}
	code := p.run(ctx, os.Args)
	stop()
	os.Exit(code)
}

// account is the name that the system has for the user of this process, else its number.
func account() string {
	if known, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil && known.Username != "" {
		return known.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}
