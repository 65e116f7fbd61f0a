package place

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"praefect/test/must"
)

func TestPlace_startTellsHowItEnded(t *testing.T) {
	command := exec.Command("/bin/sh", "-c", "exit 3")
	ended, err := Place{}.Start(command)
	must.Succeed(t, err)
	<-ended
	if got := command.ProcessState.ExitCode(); got != 3 {
		t.Errorf("got status %d, want 3", got)
	}
}

func TestPlace_startsNothingWhereItCannotEnter(t *testing.T) {
	closed := errors.New("closed")
	command := exec.Command("/bin/true")
	if _, err := (Place{Enter: func() error { return closed }}).Start(command); !errors.Is(err, closed) {
		t.Errorf("got %v, want %v", err, closed)
	}
	if command.Process != nil {
		t.Error("it was started")
	}
}

func TestPlace_startSaysWhatIsMissing(t *testing.T) {
	if _, err := (Place{}).Start(exec.Command("/no/such/program")); err == nil {
		t.Error("a missing program was started")
	}
}

func TestPlace_zeroIsTheLoopbackAddress(t *testing.T) {
	if p := (Place{}); !p.Here() || p.Address() != "127.0.0.1" {
		t.Errorf("got %v, %q", p.Here(), p.Address())
	}
	if p := (Place{IP: "10.0.0.7", Enter: func() error { return nil }}); p.Here() || p.Address() != "10.0.0.7" {
		t.Errorf("got %v, %q", p.Here(), p.Address())
	}
}

func TestPlace_startSetsThePriorityOfTheProcessAlone(t *testing.T) {
	command := exec.Command("/usr/bin/nice")
	var out strings.Builder
	command.Stdout = &out
	ended, err := Place{Nice: 3}.Start(command)
	must.Succeed(t, err)
	<-ended
	if got := strings.TrimSpace(out.String()); got != "3" {
		t.Errorf("the process has priority %s, want 3", got)
	}
	after := exec.Command("/usr/bin/nice")
	if text, err := after.Output(); err != nil || strings.TrimSpace(string(text)) == "3" {
		t.Errorf("others have priority %s (%v) now", text, err)
	}
}
