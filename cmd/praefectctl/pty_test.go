package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"praefect/proxy/admin"
)

// openTerminal returns both ends of a pseudo-terminal of a size: the one of a person, and the one of
// a program.
func openTerminal(t *testing.T, width, height uint16) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = person.Close() }) // a test may have closed it
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}))
	return person, program
}

// On a real terminal top stays within its size, draws on the other screen, and leaves it.
func TestTop_onATerminal(t *testing.T) {
	i := newInstance(t)
	i.Raft(func(v *admin.RaftView) {
		for n := range v.Instances {
			v.Instances[n].ClientAddr = ""
		}
	})
	person, program := openTerminal(t, 50, 8)
	seen := make(chan string, 1) // the one result
	go func() {
		text, _ := io.ReadAll(person) // it ends with EIO when the program's end is closed
		seen <- string(text)
	}()
	got := operator{env: map[string]string{"LANG": "C.UTF-8"}, tty: program}.run(t, "-endpoints", i.serve(t), "top", "-count", "2", "-interval", "10ms")
	must(t, program.Close())
	var text string
	select {
	case text = <-seen:
	case <-time.After(time.Minute):
		t.Fatal("the terminal is still open")
	}
	if got.code != 0 || !strings.HasPrefix(text, enterScreen) || !strings.HasSuffix(text, leaveScreen) || !strings.Contains(text, "\x1b[32m") {
		t.Errorf("got %+v, %q", got, text)
	}
	screens := strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, enterScreen), leaveScreen), homeScreen)[1:]
	if len(screens) != 2 {
		t.Fatalf("%d screens: %q", len(screens), text)
	}
	escapes := regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]")
	for _, screen := range screens {
		lines := strings.Split(screen, "\r\n")
		if len(lines) > 8 {
			t.Errorf("%d lines on a screen of 8", len(lines))
		}
		for _, line := range lines {
			// The terminal itself adds a carriage return to each line feed.
			if plain := strings.TrimRight(escapes.ReplaceAllString(line, ""), "\r"); len([]rune(plain)) > 50 {
				t.Errorf("a line of %d characters on a screen of 50: %q", len([]rune(plain)), plain)
			}
		}
	}
}
