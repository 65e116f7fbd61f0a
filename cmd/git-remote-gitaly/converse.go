package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"praefect/cmd/terminal"
)

// converse follows git's commands, one a line, until git connects a service
// (then the rest of stdin and stdout is that service's) or has no more.
func (p *program) converse(ctx context.Context, to *server, t *target) error {
	in := bufio.NewReader(p.stdin)
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read command: %w", err)
		}
		switch command, argument, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); command {
		case "":
			return nil
		case "capabilities":
			if err := p.answer("connect\n\n"); err != nil {
				return err
			}
		case "connect":
			open, ok := p.services()[argument]
			if !ok {
				// git tries another way, or says that there is none.
				if err := p.answer("fallback\n"); err != nil {
					return err
				}
				continue
			}
			s, err := open(ctx, to, t)
			if err != nil {
				return err
			}
			return p.serve(s, in)
		default:
			return fmt.Errorf("git sent the unknown command %q", command)
		}
	}
}

func (p *program) answer(text string) error {
	if _, err := io.WriteString(p.stdout, text); err != nil {
		return fmt.Errorf("answer git: %w", err)
	}
	return nil
}

// serve connects git with a session. git is told that the connection is there
// only when the server has said its first word, so that a refusal comes in
// time to be understood.
func (p *program) serve(s *session, in io.Reader) error {
	sent := make(chan error, 1) // one result, so that the goroutine never waits
	started := false
	messages := terminal.Writer(p.stderr)
	for {
		out, err := s.receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, err := messages.Write(out.stderr); err != nil {
			return fmt.Errorf("pass on messages: %w", err)
		}
		if out.exit != 0 {
			return fmt.Errorf("%s ended with exit status %d", s.service, out.exit)
		}
		if !started && len(out.stdout) > 0 {
			started = true
			if err := p.answer("\n"); err != nil {
				return err
			}
			go func() { sent <- s.forward(in) }()
		}
		if _, err := p.stdout.Write(out.stdout); err != nil {
			return fmt.Errorf("pass on data: %w", err)
		}
	}
	if !started {
		return fmt.Errorf("%s ended without a word", s.service)
	}
	// The server is done. Whether git still has the input open does not matter:
	// the goroutine that reads it ends with the process at the latest.
	select {
	case err := <-sent:
		return err
	default:
		return nil
	}
}
