package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/config"
	"praefect/consensus/membership"
	"praefect/fsm/state"
)

// surveyTimeout bounds how long the other instances are asked.
const surveyTimeout = 10 * time.Second

func (p *program) raftRecover() *cli.Command {
	return &cli.Command{
		Name:  "recover",
		Usage: "make a cluster of one from this instance's state, when a majority of the instances is lost for good",
		Description: "Stop praefect on this instance, and see to it that the lost ones never run again.\n" +
			"The command shows what it found and what may be lost, asks, and writes a new state\n" +
			"with a new cluster id into raft.data_dir. The former content is kept there, in a\n" +
			"directory of its own. With -snapshot the state comes from a file that\n" +
			"praefectctl raft snapshot save has written.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "snapshot", Usage: "take the state from `FILE`"},
			confirmFlag("INSTANCE"),
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask whether to go on"},
		},
		Action: p.withSettings(p.recover),
	}
}

func (p *program) recover(ctx context.Context, cmd *cli.Command, cfg *config.Config) (err error) {
	from, err := readSnapshotFile(cmd.String("snapshot"))
	if err != nil {
		return err
	}
	offline, err := membership.OpenOffline(ctx, nodeConfig(cfg, p.log()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, offline.Close()) }()
	asking, cancel := context.WithTimeout(ctx, surveyTimeout)
	survey := offline.Survey(asking)
	cancel()
	if err := p.print(describeSurvey(survey, from, cmd.String("snapshot"))); err != nil {
		return err
	}
	if err := mayRecover(survey, from != nil); err != nil {
		return err
	}
	if !cmd.Bool("yes") {
		if err := p.confirm(ctx, cmd, "the name of this instance", survey.Name); err != nil {
			return err
		}
	}
	recovered, err := offline.Recover(from, recoveredBy(p.getenv), time.Duration(cfg.Consistency.WriteTimeout))
	if err != nil {
		return fmt.Errorf("%w; run the command again", err)
	}
	return p.print(describeRecovered(cfg, recovered))
}

// readSnapshotFile reads a state that was saved; nil if there is no path.
func readSnapshotFile(path string) (*state.State, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	s, err := state.ReadSnapshot(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("the file %q is no whole snapshot: %w", path, err)
	}
	return s, nil
}

// mayRecover refuses a recovery that would lose data which is not lost.
func mayRecover(s membership.Survey, restores bool) error {
	switch ahead := s.Ahead(); {
	case s.Quorum():
		return errors.New("a majority of the instances is there: start praefect on them, nothing has to be recovered")
	case restores:
		return nil
	case s.ClusterID == "" || s.State.ClusterID == "":
		return errors.New("this instance's raft.data_dir holds no state: run the command on an instance that has some, or give -snapshot FILE")
	case len(ahead) > 0:
		return fmt.Errorf("%s answers and knows more: run the command there, or, if it is to be given up, stop it and run this one again", strings.Join(ahead, ", "))
	}
	return nil
}

// describeSurvey tells people the findings, and the possible losses.
func describeSurvey(s membership.Survey, from *state.State, file string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "instance %s (%s), cluster %s\n", s.Name, s.ID, cmp.Or(s.ClusterID, "none"))
	fmt.Fprintf(&out, "  its log ends at entry %d of term %d; the last entry that it knew to be committed is %d%s\n",
		s.Last, s.LastTerm, s.Committed, at(s.CommittedAt))
	for _, m := range s.Members {
		kind := "voter"
		if !m.Voter {
			kind = "non-voter"
		}
		switch {
		case m.Self:
			fmt.Fprintf(&out, "  %s, %s: this instance\n", cmp.Or(m.Name, m.ID), kind)
		case m.Err != "":
			fmt.Fprintf(&out, "  %s, %s, does not answer: %s\n", cmp.Or(m.Name, m.ID), kind, m.Err)
		default:
			fmt.Fprintf(&out, "  %s, %s, answers: its log ends at entry %d of term %d\n", cmp.Or(m.Name, m.ID), kind, m.Last, m.LastTerm)
		}
	}
	source := s.State
	if from != nil {
		source = from
		fmt.Fprintf(&out, "snapshot %s of cluster %s, up to entry %d\n", file, from.ClusterID, from.Index)
	}
	describeState(&out, source)
	fmt.Fprintf(&out, "what may be lost:\n")
	switch {
	case from != nil:
		fmt.Fprintf(&out, "  everything that the cluster agreed on after entry %d: changes of the storages, and which replicas miss writes\n", from.Index)
	case s.Committed > 0:
		fmt.Fprintf(&out, "  everything that the cluster agreed on after entry %d: changes of the storages, and which replicas miss writes\n", s.Last)
		if s.Last > s.Committed {
			fmt.Fprintf(&out, "  nothing of entries %d to %d, which may not have been committed: they count from now on\n", s.Committed+1, s.Last)
		}
	default:
		fmt.Fprintf(&out, "  everything that the cluster agreed on after entry %d; when this instance last heard of the others is not known\n", s.Last)
	}
	return out.String()
}

func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", at " + t.UTC().Format(time.RFC3339)
}

// describeState sums a state up.
func describeState(out io.Writer, s *state.State) {
	for i := range s.VirtualStorages {
		vs := &s.VirtualStorages[i]
		var storages []string
		for _, st := range vs.Succession {
			storages = append(storages, fmt.Sprintf("%s %s", st.Name, st.State))
		}
		listed, underway := 0, 0
		s.Each(vs.Name, func(_ state.Key, e *state.Entry) bool {
			listed++
			if e.HasLive() || e.HasDoubt() {
				underway++
			}
			return true
		})
		fmt.Fprintf(out, "  virtual storage %s, epoch %d: %s; %d repositories are listed in the ledger, %d of them with a write under way or in doubt\n",
			vs.Name, vs.Epoch, strings.Join(storages, ", "), listed, underway)
	}
}

// describeRecovered tells people the next steps.
func describeRecovered(cfg *config.Config, r membership.Recovered) string {
	var out strings.Builder
	fmt.Fprintf(&out, "cluster %s begins with this instance, in place of cluster %s; the former content of raft.data_dir is in %s\n", r.ClusterID, r.Former, r.Aside)
	describeState(&out, r.State)
	fmt.Fprintf(&out, "next:\n  start praefect here; every storage that is not called serving is compared, repository by repository, before it serves\n")
	if len(cfg.Raft.Others()) > 0 {
		fmt.Fprintf(&out, "  on each other instance: remove the content of raft.data_dir, then start praefect; it joins by itself\n")
	}
	return out.String()
}

// recoveredBy names the operator for the history.
func recoveredBy(getenv func(string) string) string {
	name := getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	return "operator: raft recover (" + cmp.Or(name, "unknown") + ")"
}
