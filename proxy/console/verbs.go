package console

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// switchTimeout bounds the time until the cut-over, as that of praefectctl does.
const switchTimeout = 5 * time.Minute

// verb is one kind of change.
type verb struct {
	// needs are the fields of a change without which the verb means nothing.
	needs func(changeRequest) bool
	// propose describes the change. It changes nothing.
	propose func(context.Context, Cluster, changeRequest, admin.Change) (proposal, error)
	// carryOut does it.
	carryOut func(context.Context, Cluster, changeRequest, admin.Change, func(admin.Progress)) (result, error)
	// cancellable tells that a page which goes away gives up, as Ctrl-C does.
	cancellable bool
}

// line is one line of a plan.
type line struct {
	// Sign is empty, "warning" or "bad".
	Sign string `json:"sign,omitempty"`
	Text string `json:"text"`
}

// proposal is a plan, with the question to the operator.
type proposal struct {
	Title string `json:"title"`
	Lines []line `json:"lines"`
	// Command is the line of praefectctl.
	Command string `json:"command"`
	// Already tells that there is nothing to do.
	Already bool `json:"already,omitempty"`
	// Confirm is the text that the operator has to type, empty for a plain question.
	Confirm   string `json:"confirm,omitempty"`
	RequestID string `json:"request_id"`
	Epoch     uint64 `json:"epoch,omitempty"`
}

// result is the end of a change.
type result struct {
	Text string `json:"text"`
	Note string `json:"note,omitempty"`
	// Undo is the line of praefectctl that undoes it.
	Undo string `json:"undo,omitempty"`
	// Lines are the findings.
	Lines []line `json:"lines,omitempty"`
}

func verbs() map[string]verb {
	return map[string]verb{
		"promote":         switching(Cluster.Promote, promotion, promoted),
		"drain":           switching(Cluster.Drain, draining, drained),
		"undrain":         undrain(),
		"pause":           pause(),
		"resume":          resume(),
		"refill":          refill(),
		"accept-dataloss": acceptLoss(),
		"queue-retry":     retry(),
		"queue-drop":      drop(),
		"transfer":        transfer(),
		"verify":          verify(),
		"verify-all":      verifyAll(),
		"reconcile":       reconcile(),
	}
}

func namesStorage(o changeRequest) bool { return o.Storage != "" }

func always(changeRequest) bool { return true }

// says is a proposal for a change that cannot be planned, because the leader decides at once.
func says(title func(changeRequest) string, more ...string) func(context.Context, Cluster, changeRequest, admin.Change) (proposal, error) {
	return func(_ context.Context, _ Cluster, o changeRequest, _ admin.Change) (proposal, error) {
		p := proposal{Title: title(o)}
		for _, text := range more {
			p.Lines = append(p.Lines, line{Text: text})
		}
		return p, nil
	}
}

type switchCall func(Cluster, context.Context, admin.SwitchRequest, func(admin.Progress)) (admin.SwitchResponse, error)

func switching(call switchCall, title func(changeRequest, admin.Plan) string, done func(changeRequest, admin.SwitchResponse) result) verb {
	request := func(o changeRequest, change admin.Change) admin.SwitchRequest {
		return admin.SwitchRequest{
			Change: change, VirtualStorage: o.VirtualStorage, Storage: o.Storage, Epoch: o.Epoch, Force: o.Force, TimeoutMillis: switchTimeout.Milliseconds(),
		}
	}
	return verb{
		needs: namesStorage, cancellable: true,
		propose: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change) (proposal, error) {
			r := request(o, change)
			r.DryRun, r.Epoch = true, 0
			planned, err := call(c, ctx, r, func(admin.Progress) {})
			if err != nil {
				return proposal{}, err
			}
			return proposal{
				Title: title(o, planned.Plan), Lines: planLines(o, planned.Plan), Already: planned.Plan.Already, Epoch: planned.Epoch,
			}, nil
		},
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, progress func(admin.Progress)) (result, error) {
			answer, err := call(c, ctx, request(o, change), progress)
			if err != nil {
				return result{}, err
			}
			r := done(o, answer)
			r.Text += fmt.Sprintf(", epoch %d, in %v; writes waited at most %v", answer.Epoch, millis(answer.TookMillis), millis(answer.PausedMillis))
			return r, nil
		},
	}
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func promotion(o changeRequest, p admin.Plan) string {
	if p.Already {
		return o.Storage + " is the primary already"
	}
	return fmt.Sprintf("Primary %s → %s", cmp.Or(p.Primary, "none"), p.Successor)
}

func promoted(_ changeRequest, a admin.SwitchResponse) result {
	r := result{Text: fmt.Sprintf("%s is the primary of %s", a.Primary, a.Plan.VirtualStorage)}
	if a.Plan.Primary != "" {
		r.Undo = changeRequest{Verb: "promote", Storage: a.Plan.Primary, VirtualStorage: a.Plan.VirtualStorage}.command()
	}
	return r
}

func draining(o changeRequest, p admin.Plan) string {
	switch {
	case p.Already:
		return o.Storage + " is drained already"
	case p.Primary == p.Successor:
		return fmt.Sprintf("%s goes out of use, primary %s stays", o.Storage, p.Primary)
	}
	return fmt.Sprintf("%s goes out of use, primary %s → %s", o.Storage, cmp.Or(p.Primary, "none"), p.Successor)
}

func drained(o changeRequest, a admin.SwitchResponse) result {
	return result{
		Text: fmt.Sprintf("%s is drained, %s is the primary of %s", o.Storage, cmp.Or(a.Primary, "none"), a.Plan.VirtualStorage),
		Undo: changeRequest{Verb: "undrain", Storage: o.Storage, VirtualStorage: a.Plan.VirtualStorage}.command(),
	}
}

// planLines describe the effect and the cost of a switchover.
func planLines(o changeRequest, p admin.Plan) []line {
	if p.Already {
		return nil
	}
	lines := []line{{Text: fmt.Sprintf("virtual storage %s, epoch %d", p.VirtualStorage, p.Epoch)}}
	add := func(sign, format string, args ...any) {
		lines = append(lines, line{sign, fmt.Sprintf(format, args...)})
	}
	if p.Primary != p.Successor || p.Behind > 0 {
		add("", "repositories behind on %s: %d, copied before the cut-over", p.Successor, p.Behind)
	}
	if p.Busy > 0 {
		add("", "of them being written to: %d; they keep their present primary until they are repaired", p.Busy)
	}
	if p.InDoubt > 0 {
		add("", "repositories with a write of unknown outcome: %d; they are compared before they count as in sync", p.InDoubt)
	}
	add("", "writes under way: %d; new ones wait, for %v at most", p.InFlight, millis(p.PauseMillis))
	if o.Verb == "drain" && p.Serving < p.Copies {
		add("bad", "%d storages would serve, fewer than consistency.copies (%d): new writes have fewer copies until another one serves", p.Serving, p.Copies)
	}
	if p.Unavailable > 0 {
		add("bad", "repositories unavailable unless caught up: %d", p.Unavailable)
	}
	for _, text := range p.Warnings {
		add("warning", "%s", text)
	}
	return lines
}

func undrain() verb {
	return verb{
		needs: namesStorage,
		propose: func(ctx context.Context, c Cluster, o changeRequest, _ admin.Change) (proposal, error) {
			status, err := c.Status(ctx, admin.StatusRequest{VirtualStorage: o.VirtualStorage})
			if err != nil {
				return proposal{}, err
			}
			for _, vs := range status.VirtualStorages {
				for _, st := range vs.Storages {
					if st.Name == o.Storage {
						return undraining(vs.Name, st), nil
					}
				}
			}
			return proposal{}, admin.Errorf(admin.NotFound, "no virtual storage has a storage %q", o.Storage)
		},
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			done, err := c.Undrain(ctx, admin.UndrainRequest{Change: change, VirtualStorage: o.VirtualStorage, Storage: o.Storage})
			return result{Text: o.Storage + " may return", Note: done.Note}, err
		},
	}
}

func undraining(virtualStorage string, st admin.Storage) proposal {
	if st.State != state.Out {
		return proposal{Title: fmt.Sprintf("%s of %s is %s: nothing is to be done", st.Name, virtualStorage, st.State), Already: true}
	}
	p := proposal{Title: st.Name + " may return", Lines: []line{
		{Text: "it serves again by itself once it has been healthy for a while; then what it misses is copied"},
		{Text: fmt.Sprintf("repositories to repair on it: %d", st.Behind)},
	}}
	if !st.Reachable {
		p.Lines = append(p.Lines, line{"warning", st.Name + " is not reachable now: it returns once it is"})
	}
	return p
}

func pause() verb {
	return verb{
		needs: always,
		propose: says(func(o changeRequest) string {
			return "Automatic failover of " + cmp.Or(o.VirtualStorage, "everything") + " off"
		},
			"While it is off no storage is replaced because it is dead; promote, drain and everything else work on."),
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			a, err := c.Pause(ctx, admin.PauseRequest{Change: change, VirtualStorage: o.VirtualStorage, ForMillis: o.ForMillis})
			until := "until it is resumed"
			if a.Until != nil {
				until = "until " + a.Until.UTC().Format(time.RFC3339)
			}
			return result{
				Text: fmt.Sprintf("automatic failover of %s is paused %s", strings.Join(a.VirtualStorages, ", "), until), Note: a.Note,
				Undo: changeRequest{Verb: "resume", VirtualStorage: o.VirtualStorage}.command(),
			}, err
		},
	}
}

func resume() verb {
	return verb{
		needs: always,
		propose: says(func(o changeRequest) string {
			return "Automatic failover of " + cmp.Or(o.VirtualStorage, "everything") + " on"
		}),
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			a, err := c.Resume(ctx, admin.ResumeRequest{Change: change, VirtualStorage: o.VirtualStorage})
			return result{Text: fmt.Sprintf("automatic failover of %s is on", strings.Join(a.VirtualStorages, ", ")), Note: a.Note}, err
		},
	}
}

func transfer() verb {
	return verb{
		needs: always,
		propose: says(func(o changeRequest) string {
			return "Leadership → " + cmp.Or(o.Instance, "the instance that is best prepared")
		},
			"Reads and writes go on; failovers wait for the new leader, for about a second."),
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			done, err := c.TransferLeadership(ctx, admin.TransferRequest{Change: change, Name: o.Instance})
			return result{Text: "leadership is handed over", Note: done.Note}, err
		},
	}
}

func verify() verb {
	return verb{
		needs: func(o changeRequest) bool { return o.RelativePath != "" },
		propose: says(func(changeRequest) string { return "Compare the replicas now" },
			"Every replica is compared with the primary's, and git checks their objects. Nothing is changed, unless one differs: then it is repaired."),
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, _ admin.Change, _ func(admin.Progress)) (result, error) {
			a, err := c.Verify(ctx, admin.VerifyRequest{VirtualStorage: o.VirtualStorage, RelativePath: o.RelativePath})
			if err != nil {
				return result{}, err
			}
			r := result{Text: "compared with the primary's, on " + cmp.Or(a.Primary, "no storage")}
			for _, one := range a.Replicas {
				l := line{Text: one.Storage + ": " + string(one.Result)}
				if one.What != "" {
					l.Text += ", " + one.What
				}
				switch one.Result {
				case admin.ReplicaDiffers:
					l.Sign = "bad"
				case admin.ReplicaUnknown:
					l.Sign = "warning"
				}
				r.Lines = append(r.Lines, l)
			}
			r.Note = cmp.Or(a.Undecided, a.NotNoted)
			return r, nil
		},
	}
}
