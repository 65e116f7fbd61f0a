// Command praefect is the daemon, and the sub-commands that operators know from
// Praefect. It owns how the parts of the project are joined; it promises
// Praefect's command line, output and exit codes where a command has the same
// name. People and service managers run it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks the command to end; a second one ends the process.
	context.AfterFunc(ctx, stop)
	// From the beginning: no SIGHUP ends the daemon.
	hangups := make(chan os.Signal, 1) // one reload covers all that came before it
	signal.Notify(hangups, syscall.SIGHUP)
	p := &program{version: version, hangups: hangups, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	code := p.run(ctx, os.Args)
	stop()
	os.Exit(code)
}
