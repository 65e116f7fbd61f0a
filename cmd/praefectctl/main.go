// Command praefectctl is the operator's tool: it asks a running instance how
// the cluster is. It owns what people and scripts see of that; it promises the
// same names in tables and JSON, documented exit codes, and to end within its
// timeout. People and scripts run it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is what the linker sets it to.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p := &program{version: version, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, terminal: isTerminal(os.Stdout)}
	code := p.run(ctx, os.Args)
	stop()
	os.Exit(code)
}
