package vote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Fault makes the votes about some repositories, or their writes, go wrong.
type Fault struct {
	// Prefix is how the relative paths of the repositories begin.
	Prefix string `json:"prefix"`
	// Vote is the fault of a vote: "differ" (its hash is another one),
	// "never" (it is not cast; the call waits until it is cancelled),
	// "late=DURATION" (it is cast after that time) or "refuse" (it is not cast
	// and the change fails). "@prepared", "@committed" or "@synchronized" after
	// it limits that to a phase. Empty: nothing.
	Vote string `json:"vote,omitempty"`
	// StopAt is where the process kills itself: "before-prepared",
	// "after-prepared", "before-committed" or "after-committed". Empty: nowhere.
	StopAt string `json:"stop_at,omitempty"`
	// Cancel is the end of the git processes of a call that is cancelled:
	// "kill" kills them, as Gitaly does since 18, so that a reference that they
	// have locked stays locked. Empty: they are told to end, and remove their locks.
	Cancel string `json:"cancel,omitempty"`
	// Disk is the fault of writes to disk: "full" fails them, as a file system
	// without space does. A write that needs none succeeds: a loose reference is deleted, and a
	// push that git refuses ends with status OK. Empty: there is room.
	Disk string `json:"disk,omitempty"`
}

// Fills tells whether the faults have the disk full for writes to that path.
func Fills(faults []Fault, path string) bool {
	return slices.ContainsFunc(faults, func(f Fault) bool { return f.Disk == "full" && strings.HasPrefix(path, f.Prefix) })
}

// Kills tells whether the faults have git killed whose call about that path is
// cancelled.
func Kills(faults []Fault, path string) bool {
	return slices.ContainsFunc(faults, func(f Fault) bool { return f.Cancel == "kill" && strings.HasPrefix(path, f.Prefix) })
}

// phases are the names of phases in faults.
func phases() map[string]Phase {
	return map[string]Phase{"prepared": Prepared, "committed": Committed, "synchronized": Synchronized}
}

// Check reports an impossible fault.
func (f Fault) Check() error {
	if f.StopAt != "" {
		moment, phase, _ := strings.Cut(f.StopAt, "-")
		if (moment != "before" && moment != "after") || (phase != "prepared" && phase != "committed") {
			return fmt.Errorf("unknown step %q: before-prepared, after-prepared, before-committed and after-committed are known", f.StopAt)
		}
	}
	if f.Cancel != "" && f.Cancel != "kill" {
		return fmt.Errorf("unknown end of a cancelled call %q: kill is known", f.Cancel)
	}
	if f.Disk != "" && f.Disk != "full" {
		return fmt.Errorf("unknown disk %q: full is known", f.Disk)
	}
	if f.Vote == "" {
		return nil
	}
	what, phase, limited := strings.Cut(f.Vote, "@")
	if _, known := phases()[phase]; limited && !known {
		return fmt.Errorf("unknown phase %q of fault %q: prepared, committed and synchronized are known", phase, f.Vote)
	}
	if delay, late := strings.CutPrefix(what, "late="); late {
		if _, err := time.ParseDuration(delay); err != nil {
			return fmt.Errorf("fault %q: %w", f.Vote, err)
		}
		return nil
	}
	if !slices.Contains([]string{"differ", "never", "refuse"}, what) {
		return fmt.Errorf("unknown fault %q: differ, never, late=DURATION and refuse are known", f.Vote)
	}
	return nil
}

// ReadFaults returns the faults in a file, none if it is absent.
func ReadFaults(file string) ([]Fault, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var faults []Fault
	if err := json.Unmarshal(raw, &faults); err != nil {
		return nil, fmt.Errorf("read faults in %q: %w", file, err)
	}
	for _, f := range faults {
		if err := f.Check(); err != nil {
			return nil, fmt.Errorf("read faults in %q: %w", file, err)
		}
	}
	return faults, nil
}

// WriteFaults replaces the faults in a file; a reader meanwhile sees the old
// ones or the new ones.
func WriteFaults(file string, faults []Fault) error {
	for _, f := range faults {
		if err := f.Check(); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(faults)
	if err != nil {
		return fmt.Errorf("encode faults: %w", err)
	}
	draft, err := os.CreateTemp(filepath.Dir(file), ".faults-*")
	if err != nil {
		return err
	}
	_, err = draft.Write(raw)
	if err = errors.Join(err, draft.Close()); err != nil {
		return errors.Join(err, os.Remove(draft.Name()))
	}
	return os.Rename(draft.Name(), file)
}

// effect is the effect of a fault on one vote.
type effect struct {
	what        string
	delay       time.Duration
	crashBefore bool
	crashAfter  bool
}

// faultOf returns the effect of the faults on a vote about that path. Of several
// that change the vote the last one counts.
func faultOf(faults []Fault, path string, phase Phase) effect {
	var e effect
	name := strings.ToLower(strings.TrimSuffix(phase.String(), "_PHASE"))
	for _, f := range faults {
		if !strings.HasPrefix(path, f.Prefix) {
			continue
		}
		e.crashBefore = e.crashBefore || f.StopAt == "before-"+name
		e.crashAfter = e.crashAfter || f.StopAt == "after-"+name
		what, only, limited := strings.Cut(f.Vote, "@")
		if what == "" || limited && only != name {
			continue
		}
		e.what = what
		if delay, late := strings.CutPrefix(what, "late="); late {
			e.what = "late"
			e.delay, _ = time.ParseDuration(delay) // Check has parsed it
		}
	}
	return e
}

// apply has the fault act on a vote. Its errors are statuses.
func (e effect) apply(ctx context.Context, node string, hash Hash) (Hash, error) {
	switch e.what {
	case "differ":
		return Of(append(hash[:], node...)), nil
	case "refuse":
		return hash, status.Error(codes.Internal, "vote refused, as a fault wants it")
	case "never":
		<-ctx.Done()
		return hash, status.FromContextError(ctx.Err()).Err()
	case "late":
		timer := time.NewTimer(e.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return hash, status.FromContextError(ctx.Err()).Err()
		}
	}
	return hash, nil
}
