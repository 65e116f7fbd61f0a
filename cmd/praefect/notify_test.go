package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is a service manager that is told of one process.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { should(t, conn.Close()) })
	return &manager{t, conn}
}

// hears waits for the next word and compares it with a pattern.
func (m *manager) hears(pattern string) {
	m.t.Helper()
	must(m.t, m.conn.SetReadDeadline(time.Now().Add(time.Minute)))
	word := make([]byte, 1<<10)
	n, err := m.conn.Read(word)
	if err != nil {
		m.t.Fatalf("nothing comes that is like %q: %v", pattern, err)
	}
	if !regexp.MustCompile("^" + pattern + "$").Match(word[:n]) {
		m.t.Errorf("got %q, want it like %q", word[:n], pattern)
	}
}

func TestNotifier(t *testing.T) {
	abstract := fmt.Sprintf("@praefect-test-%d", time.Now().UnixNano())
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), abstract} {
		m := newManager(t, name)
		var log bytes.Buffer
		tell := notifier(func(string) string { return name }, slog.New(slog.NewTextHandler(&log, nil)))
		tell(notifyReady)
		m.hears("READY=1")
		if log.Len() > 0 {
			t.Errorf("logged %s", log.String())
		}
	}
	var log bytes.Buffer
	notifier(func(string) string { return "/nowhere/notify" }, slog.New(slog.NewTextHandler(&log, nil)))(notifyReady)
	if !strings.Contains(log.String(), "/nowhere/notify") {
		t.Errorf("without a manager: logged %q", log.String())
	}
	notifier(func(string) string { return "" }, nil)(notifyReady) // nobody wants to know
}

func TestServe_tellsTheServiceManager(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	m := newManager(t, name)
	config := settings{nodes: []string{memoryStorage(t, "gitaly-1", "secret")}, database: databaseSettings(t)}.write(t)
	i := serveWith(t, config, 2, func(key string) string { return map[string]string{"NOTIFY_SOCKET": name}[key] })
	m.hears("READY=1\nSTATUS=starting")
	m.hears("STATUS=up")
	if code, body := get(t, i.http+"/livez"); code != 200 {
		t.Errorf("up: got %d %s", code, body)
	}
	i.hangup <- syscall.SIGHUP
	m.hears(`RELOADING=1\nMONOTONIC_USEC=\d+`)
	m.hears("READY=1")
	i.cancel()
	m.hears("STOPPING=1\nSTATUS=stopping")
	if code := <-i.code; code != 0 {
		t.Errorf("exit code %d: %s", code, i.stderr.String())
	}
}
