package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// tty is a terminal at which somebody types.
type tty struct {
	types io.Reader
	shown bytes.Buffer
}

func (t *tty) Read(p []byte) (int, error)  { return t.types.Read(p) }
func (t *tty) Write(p []byte) (int, error) { return t.shown.Write(p) }
func (t *tty) Close() error                { return nil }

func TestProgram_mayShow(t *testing.T) {
	for _, row := range []struct {
		name, url string
		env       map[string]string
		types     string // empty: there is no terminal
		asks      string // what the question or the error says; empty: nothing is asked
		shows     bool
	}{
		{name: "this machine", url: "gitaly://127.0.0.1:2305/default/a.git", shows: true},
		{name: "this machine by name", url: "gitaly://localhost/default/a.git", shows: true},
		{name: "this machine in six", url: "gitaly://[::1]:1/default/a.git", shows: true},
		{name: "another host", url: "gitalys://evil.example/default/a.git", asks: "GITALY_TOKEN_HOST does not name it"},
		{name: "another host, and no", url: "gitalys://evil.example/default/a.git", types: "n\n", asks: "evil.example:3305"},
		{name: "another host, and yes", url: "gitalys://evil.example/default/a.git", types: "yes\n", asks: "evil.example:3305", shows: true},
		{name: "a name that begins like this machine's", url: "gitalys://localhost.evil.example/default/a.git", asks: "does not name it"},
		{name: "an address in a name", url: "gitalys://127.0.0.1.evil.example/default/a.git", asks: "does not name it"},
		{name: "the host", url: "gitalys://Git.example/default/a.git", env: map[string]string{"GITALY_TOKEN_HOST": "a.example, git.example"}, shows: true},
		{name: "the host with its port", url: "gitalys://git.example/default/a.git", env: map[string]string{"GITALY_TOKEN_HOST": "git.example:3305"}, shows: true},
		{name: "another port", url: "gitalys://git.example:1/default/a.git", env: map[string]string{"GITALY_TOKEN_HOST": "git.example:3305"}, asks: "does not name it"},
		{name: "a host of six", url: "gitalys://[fd00::1]/default/a.git", env: map[string]string{"GITALY_TOKEN_HOST": "[fd00::1]"}, shows: true},
		{name: "this machine where another is named", url: "gitaly://127.0.0.1/default/a.git", env: map[string]string{"GITALY_TOKEN_HOST": "git.example"}, asks: "does not name it"},
		{name: "in plain text", url: "gitaly://git.example/default/a.git", env: map[string]string{"GITALY_TOKEN_HOST": "git.example"}, asks: "not encrypted"},
		{name: "in plain text, and yes", url: "gitaly://git.example/default/a.git", env: map[string]string{"GITALY_TOKEN_HOST": "git.example"}, types: "y\n", asks: "not encrypted", shows: true},
		{name: "in plain text on a private network", url: "gitaly://git.example/default/a.git",
			env: map[string]string{"GITALY_TOKEN_HOST": "git.example", "GITALY_TOKEN_PLAIN": "yes"}, shows: true},
		{name: "both", url: "gitaly://evil.example/default/a.git", asks: "does not name it and the connection is not encrypted"},
		{name: "git may not ask", url: "gitalys://evil.example/default/a.git", env: map[string]string{"GIT_TERMINAL_PROMPT": "0"}, types: "y\n", asks: "does not name it"},
	} {
		to, err := parseTarget(row.url)
		must(t, err)
		at := &tty{types: strings.NewReader(row.types)}
		p := program{getenv: func(name string) string { return row.env[name] }, terminal: func() (io.ReadWriteCloser, error) {
			if row.types == "" {
				return nil, errors.New("no terminal")
			}
			return at, nil
		}}
		err = p.mayShow(t.Context(), to)
		said := at.shown.String()
		if err != nil {
			said += err.Error()
		}
		if (err == nil) != row.shows || !strings.Contains(said, row.asks) || row.asks == "" && said != "" {
			t.Errorf("%s: got %v, and was asked %q", row.name, err, at.shown.String())
		}
	}
}

// TestProgram_sendsNoTokenElsewhere: a server that the token is not for gets no connection.
func TestProgram_sendsNoTokenElsewhere(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer lis.Close()
	came := make(chan struct{})
	go func() {
		defer close(came)
		if c, err := lis.Accept(); err == nil {
			t.Error("a connection was made")
			_ = c.Close()
		}
	}()
	env := map[string]string{"GITALY_TOKEN": token, "GITALY_TOKEN_HOST": "git.example", "GIT_TERMINAL_PROMPT": "0"}
	if _, err := converseWith(t, "", env, "create", "gitaly://"+lis.Addr().String()+"/default/a.git"); err == nil || !strings.Contains(err.Error(), "set GITALY_TOKEN_HOST=127.0.0.1:") {
		t.Errorf("got %v", err)
	}
	_ = lis.Close()
	<-came
}

// TestProgram_questionEnds: git that is ended while the question waits does not hang.
func TestProgram_questionEnds(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go func() { _, _ = io.Copy(io.Discard, far) }() // the terminal shows it, and nobody types
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p := program{getenv: func(string) string { return "" }, terminal: func() (io.ReadWriteCloser, error) { return near, nil }}
	if p.ask(ctx, "?") {
		t.Error("taken for a yes")
	}
}
