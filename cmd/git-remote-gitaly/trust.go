package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"

	"praefect/cmd/terminal"
)

// openTerminal opens the user's terminal, as git does to ask for a password.
func openTerminal() (io.ReadWriteCloser, error) { return os.OpenFile("/dev/tty", os.O_RDWR, 0) }

// mayShow decides whether the server of a target is shown that the caller knows the token. The
// URL may be another's choice, such as that of a submodule, so a token belongs to the hosts that
// GITALY_TOKEN_HOST names. Without encryption others can read the proof and use it for half a
// minute. Where one of the two is not as it should be, the person at the terminal decides.
func (p *program) mayShow(ctx context.Context, t *target) error {
	var doubts, remedies []string
	if !t.namedBy(p.getenv("GITALY_TOKEN_HOST")) {
		doubts = append(doubts, "GITALY_TOKEN_HOST does not name it")
		remedies = append(remedies, "set GITALY_TOKEN_HOST="+t.host)
	}
	if !t.tls && !t.loopback() && p.getenv("GITALY_TOKEN_PLAIN") != "yes" {
		doubts = append(doubts, "the connection is not encrypted")
		remedies = append(remedies, "use gitalys:// or, on a private network, set GITALY_TOKEN_PLAIN=yes")
	}
	if len(doubts) == 0 {
		return nil
	}
	why := strings.Join(doubts, " and ")
	if p.ask(ctx, fmt.Sprintf("gitaly: the token is about to be used at %s: %s. Go on? [y/N] ", t.host, why)) {
		return nil
	}
	return fmt.Errorf("the token is not used at %s: %s; if the host is right %s", t.host, why, strings.Join(remedies, ", and "))
}

// namedBy tells whether a list of hosts, with or without a port, names the host of the target.
// An empty list names this machine.
func (t *target) namedBy(list string) bool {
	if strings.TrimSpace(list) == "" {
		return t.loopback()
	}
	host, _, err := net.SplitHostPort(t.host)
	if err != nil {
		return false // parseTarget has joined it
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if strings.EqualFold(name, t.host) || strings.EqualFold(strings.Trim(name, "[]"), host) {
			return true
		}
	}
	return false
}

// loopback tells whether the target is on this machine.
func (t *target) loopback() bool {
	host, _, err := net.SplitHostPort(t.host)
	if err != nil {
		return false // parseTarget has joined it
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// ask asks the person at the terminal. Without one, or where git may not ask, the answer is no.
func (p *program) ask(ctx context.Context, question string) (yes bool) {
	if p.terminal == nil || p.getenv("GIT_TERMINAL_PROMPT") == "0" {
		return false
	}
	tty, err := p.terminal()
	if err != nil {
		return false // a script
	}
	closed := context.AfterFunc(ctx, func() { _ = tty.Close() }) // which ends the read
	defer func() {
		if closed() {
			_ = tty.Close() // nothing is left to be written
		}
	}()
	if _, err := io.WriteString(tty, terminal.Line(question)); err != nil {
		return false
	}
	line, err := bufio.NewReader(tty).ReadString('\n')
	if err != nil {
		return false
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
