package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"praefect/test/must"
)

// programs are the names under which systems have the browser.
var programs = []string{"chromium", "chromium-browser", "google-chrome"}

// callTimeout bounds one command to the browser.
const callTimeout = 30 * time.Second

// Browser is a running browser. Its owner is the test that started it.
type Browser struct {
	t     testing.TB
	cmd   *exec.Cmd
	write io.WriteCloser
	ended chan struct{} // closed when nothing more comes from the browser

	mu      sync.Mutex
	next    int                     // guarded by mu
	waiting map[int]chan message    // guarded by mu; each holds 1
	pages   map[string]func(string) // guarded by mu; by session: the function that takes its errors
}

// message is a command, its answer or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts the browser for a test, which it fails if there is none: make needs installs it.
func Start(t testing.TB) *Browser {
	t.Helper()
	var program string
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Fatalf("none of %v is on the path: install chromium", programs)
	}
	b, err := start(t, program)
	must.Succeed(t, err)
	t.Cleanup(b.stop)
	return b
}

func start(t testing.TB, program string) (*Browser, error) {
	fromTest, toBrowser, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fromBrowser, toTest, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, fromTest.Close(), toBrowser.Close())
	}
	cmd := exec.Command(program, "--headless=new", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--metrics-recording-only", "--no-proxy-server", "--password-store=basic", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US", "about:blank")
	if os.Getuid() == 0 { // it refuses to run its sandbox as root
		cmd.Args = append(cmd.Args[:1:1], append([]string{"--no-sandbox"}, cmd.Args[1:]...)...)
	}
	cmd.ExtraFiles = []*os.File{fromTest, toTest} // its descriptors 3 and 4
	cmd.Env = append(os.Environ(), "TZ=UTC")
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, fromTest.Close(), toTest.Close(), toBrowser.Close(), fromBrowser.Close())
	}
	if err := errors.Join(fromTest.Close(), toTest.Close()); err != nil {
		return nil, err
	}
	b := &Browser{t: t, cmd: cmd, write: toBrowser, ended: make(chan struct{}), waiting: make(map[int]chan message), pages: make(map[string]func(string))}
	go b.read(fromBrowser)
	return b, nil
}

func (b *Browser) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// A browser that does not close is killed below, so that its error says nothing new.
	_ = b.call(ctx, "", "Browser.close", nil, nil)
	select {
	case <-b.ended:
	case <-ctx.Done():
		_ = b.cmd.Process.Kill()
	}
	_ = b.write.Close()
	<-b.ended
	_ = b.cmd.Wait() // how it ends is no matter of the test
}

// read takes the messages of the browser until it ends.
func (b *Browser) read(from io.ReadCloser) {
	defer close(b.ended)
	defer from.Close()
	lines := bufio.NewReader(from)
	for {
		text, err := lines.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue // of a newer protocol
		}
		b.mu.Lock()
		if answer := b.waiting[m.ID]; m.ID != 0 && answer != nil {
			delete(b.waiting, m.ID)
			answer <- m
		} else if take := b.pages[m.Session]; take != nil {
			if text := complaint(m); text != "" {
				take(text)
			}
		}
		b.mu.Unlock()
	}
}

// complaint is an error that a page reports: an exception, or a load that its policy has blocked.
func complaint(m message) string {
	switch m.Method {
	case "Runtime.exceptionThrown":
		var p struct {
			Details struct {
				Text      string `json:"text"`
				URL       string `json:"url"`
				Line      int    `json:"lineNumber"`
				Exception struct {
					Description string `json:"description"`
				} `json:"exception"`
			} `json:"exceptionDetails"`
		}
		_ = json.Unmarshal(m.Params, &p) // without its fields the event says enough
		return fmt.Sprintf("%s:%d: %s %s", p.Details.URL, p.Details.Line+1, p.Details.Text, p.Details.Exception.Description)
	case "Log.entryAdded":
		var p struct {
			Entry struct{ Source, Level, Text, URL string }
		}
		_ = json.Unmarshal(m.Params, &p)
		if p.Entry.Level == "error" && p.Entry.Source != "network" { // pages handle what the network does
			return p.Entry.Source + ": " + p.Entry.Text + " " + p.Entry.URL
		}
	}
	return ""
}

// call sends a command and waits for its answer.
func (b *Browser) call(ctx context.Context, session, method string, params, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m := message{Session: session, Method: method}
	if params != nil {
		text, err := json.Marshal(params)
		if err != nil {
			return err
		}
		m.Params = text
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.next++
	m.ID = b.next
	b.waiting[m.ID] = answer
	b.mu.Unlock()
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := b.write.Write(append(text, 0)); err != nil {
		return fmt.Errorf("tell the browser %s: %w", method, err)
	}
	select {
	case got := <-answer:
		if got.Error != nil {
			return fmt.Errorf("%s: %s", method, got.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(got.Result, result)
	case <-b.ended:
		return fmt.Errorf("%s: the browser has ended", method)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// errorsOf joins the errors that a page has reported.
func errorsOf(list []string) string { return strings.Join(list, "\n") }
