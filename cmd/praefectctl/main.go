// Command praefectctl is the operator's tool: it asks a running instance how
// the cluster is, and has it changed. It owns what people and scripts see of
// that; it promises the same names in tables and JSON, documented exit codes,
// to end within its timeout, and to say of every change that did not succeed
// whether anything has changed. People and scripts run it.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"syscall"
)

// version is what the linker sets it to.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p := &program{
		version: version, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, hostname: os.Hostname,
		terminal: isTerminal(os.Stdout), interactive: isTerminal(os.Stdin) && isTerminal(os.Stderr), newID: rand.Text,
	}
	code := p.run(ctx, os.Args)
	stop()
	os.Exit(code)
}
