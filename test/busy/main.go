// Command busy shows that a busy storage is not taken for a dead one: some hundred git processes
// work on the processors of a cluster whose clients are at work, and no storage that lives may be
// failed over. Then it does the same with the bound of the time before there were two, for
// comparison. It promises to stop by itself, to leave no process, and to end with an error if a
// storage was failed over with the shipped settings, or an acknowledged write was lost. `make busy`
// runs it; the figures are of this machine alone.
package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"praefect/test/scenario"
)

// settings are the arguments of the command.
type settings struct {
	out, keep *string
	minutes   float64
	processes int
	compare   bool
}

// bound is a time after which a silent storage is taken for dead.
type bound struct{ name, settings string }

// shipped leaves the settings as they are; former has one bound for a silent host and a silent process.
var (
	shipped = bound{name: "shipped"}
	former  = bound{name: "stall 1.5s", settings: "[detection]\nstall = \"1.5s\"\n"}
)

func main() { scenario.Main("busy", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := scenario.NewCommand("busy", stderr)
	s := settings{out: c.Out(), keep: c.Keep()}
	c.Float64Var(&s.minutes, "minutes", 30, "how long the machine is busy, for each bound")
	c.IntVar(&s.processes, "processes", 200, "how many git processes run at a time")
	c.BoolVar(&s.compare, "compare", true, "do the same with the former bound")
	if err := c.Read(args); err != nil {
		return err
	}
	if s.minutes <= 0 || s.processes < 0 {
		return c.Refuse("-minutes is not above 0, or -processes is below")
	}
	ground, err := scenario.Prepare(ctx, c.Build, writers)
	if err != nil {
		return err
	}
	defer ground.Close()
	hungry, err := newGit(ctx, ground.Dir)
	if err != nil {
		return err
	}
	bounds := []bound{shipped}
	if s.compare {
		bounds = append(bounds, former)
	}
	var all []figure
	for _, b := range bounds {
		fmt.Fprintf(stderr, "%d git processes for %v, bound: %s …\n", s.processes, s.length(), b.name)
		f, err := one(ctx, ground, hungry, s, b, stderr)
		if err != nil {
			return fmt.Errorf("bound %q: %w", b.name, err)
		}
		all = append(all, f)
	}
	show(stdout, all)
	if err := scenario.WriteJSON(*s.out, all, 0o644); err != nil {
		return err
	}
	if all[0].Failovers > 0 {
		return fmt.Errorf("%d failovers of a storage that lived", all[0].Failovers)
	}
	return nil
}

func (s settings) length() time.Duration { return time.Duration(s.minutes * float64(time.Minute)) }

// show prints the figures for people.
func show(w io.Writer, all []figure) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "BOUND\tMINUTES\tGIT RUNS\tLOAD\tFAILOVERS\tTERMS\tWRITES\tFAILED\tSLOWEST\tREADS\tFAILED\t")
	for _, f := range all {
		fmt.Fprintf(table, "%s\t%.1f\t%d\t%.0f\t%d\t%d\t%d\t%d\t%.1f s\t%d\t%d\t\n", f.Bound, f.Minutes, f.GitRuns, f.Load, f.Failovers, f.Terms,
			f.Writes, f.WritesFailed, f.SlowestMS/1000, f.Reads, f.ReadsFailed)
	}
	table.Flush()
}
