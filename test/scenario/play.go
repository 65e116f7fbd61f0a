package scenario

import (
	"context"
	"fmt"
	"io"
	"time"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// Play is something that happens to a cluster while clients are at work. Its zero fields mean nothing
// to do, and no time.
type Play struct {
	Cluster        *cluster.Cluster
	VirtualStorage string
	// Paths are the repositories of the clients, Load is their work there.
	Paths []string
	Load  workload.Config
	// Steady is how long clients are at work before anything happens. It lasts until as many writes
	// are acknowledged as there are writers, for half a minute at most.
	Steady time.Duration
	// Aim finds the target of the fault. Clients of the instance with the label hit are counted apart.
	Aim func(context.Context) (hit string, err error)
	// Fault lets it happen and returns when it has.
	Fault func(context.Context) error
	// Watch is how long after the begin of the fault clients are watched, at least.
	Watch time.Duration
	// Seen is called with the outcome, before Mend.
	Seen func(Outcome)
	// Mend takes the fault back, for the check of the end.
	Mend func(context.Context) error
	// Lap is called with the name of each part when it ends: settle, steady, watch, mend.
	Lap func(part string)
}

// Outcome is how clients fared from the begin of the fault on.
type Outcome struct {
	workload.Figures
	// Unavailable is how many repositories could not be read before Mend.
	Unavailable int
}

// Explain prints some of the failures that the figures count.
func (o Outcome) Explain(w io.Writer) {
	const shown = 3
	for _, fault := range o.Faults[:min(shown, len(o.Faults))] {
		fmt.Fprintln(w, "    ", fault)
	}
}

// Run plays it once, and checks that all storages are equal at the end and have every acknowledged
// write. After an error the outcome has the failures of clients, for people.
func (p Play) Run(ctx context.Context) (o Outcome, err error) {
	lap := func(part string) {
		if p.Lap != nil {
			p.Lap(part)
		}
	}
	if err := p.Cluster.WaitConverged(ctx); err != nil {
		return o, err
	}
	lap("settle")
	traffic, err := workload.Start(ctx, p.Cluster, p.VirtualStorage, p.Paths, p.Load)
	if err != nil {
		return o, fmt.Errorf("let clients begin: %w", err)
	}
	defer func() {
		traffic.Stop()
		if err != nil {
			o.Faults = traffic.Figures(workload.Window{}).Faults
		}
	}()
	if err := p.steady(ctx, traffic); err != nil {
		return o, err
	}
	hit := ""
	if p.Aim != nil {
		if hit, err = p.Aim(ctx); err != nil {
			return o, err
		}
	}
	lap("steady")
	traffic.Rush()
	from := time.Now()
	if err := p.Fault(ctx); err != nil {
		return o, fmt.Errorf("let it happen: %w", err)
	}
	if err := workload.Pass(ctx, time.Until(from.Add(p.Watch))); err != nil {
		return o, err
	}
	lap("watch")
	traffic.Stop()
	unavailable, err := workload.Unavailable(ctx, p.Cluster, p.VirtualStorage)
	if err != nil {
		return o, err
	}
	o = Outcome{Unavailable: len(unavailable), Figures: traffic.Figures(workload.Window{From: from, Hit: hit, Unavailable: unavailable})}
	if p.Seen != nil {
		p.Seen(o)
	}
	if p.Mend != nil {
		if err := p.Mend(ctx); err != nil {
			return o, fmt.Errorf("mend it: %w", err)
		}
	}
	if err := p.Cluster.WaitConverged(ctx); err != nil {
		return o, err
	}
	lap("mend")
	return o, traffic.Verify(ctx)
}

// steady lets clients work until they are in their stride.
func (p Play) steady(ctx context.Context, traffic *workload.Traffic) error {
	const limit, every = 30 * time.Second, 50 * time.Millisecond
	if err := workload.Pass(ctx, p.Steady); err != nil {
		return err
	}
	for end := time.Now().Add(limit); traffic.Acknowledged() < p.Load.Writers; {
		if time.Now().After(end) {
			return fmt.Errorf("%d writers had only %d writes acknowledged before anything happened, within %v", p.Load.Writers, traffic.Acknowledged(), limit)
		}
		if err := workload.Pass(ctx, every); err != nil {
			return err
		}
	}
	return nil
}
