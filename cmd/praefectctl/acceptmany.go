package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"praefect/proxy/admin"
)

// maxAcceptances bounds a file: each line is looked at and asked for by itself.
const maxAcceptances = 10_000

// acceptance is one line of a file: the replica to accept, and the loss by that.
type acceptance struct {
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
	Storage        string `json:"storage"`
	// Result is planned, nothing-lost, accepted or failed; Error says why.
	Result string `json:"result"`
	Error  string `json:"error,omitempty"`
	// Loses tells that the chosen storage itself misses an acknowledged write.
	Loses     bool     `json:"loses_acknowledged_writes"`
	Available bool     `json:"available"`
	Behind    []string `json:"behind"`
	// conflict tells that no repair makes the replicas equal.
	conflict bool
	line     int
}

// The results of an acceptance.
const (
	resultPlanned  = "planned"
	resultNothing  = "nothing-lost"
	resultAccepted = "accepted"
	resultFailed   = "failed"
)

// acceptances is the answer of accept-dataloss -file as JSON.
type acceptances struct {
	Schema       int          `json:"schema"`
	DryRun       bool         `json:"dry_run"`
	Repositories []acceptance `json:"repositories"`
}

// readAcceptances reads a file: a line has VIRTUAL-STORAGE, RELATIVE-PATH and STORAGE with tabs or
// spaces between; a line that begins with a # is a comment. All faults are told at once.
func readAcceptances(path string) (list []acceptance, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read what is to be accepted: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var faults []error
	seen := map[[2]string]int{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 3 {
			faults = append(faults, fmt.Errorf("line %d has %d words: want VIRTUAL-STORAGE RELATIVE-PATH STORAGE", n, len(words)))
			continue
		}
		key := [2]string{words[0], words[1]}
		if before := seen[key]; before != 0 {
			faults = append(faults, fmt.Errorf("line %d: %s of %s is in line %d already", n, words[1], words[0], before))
			continue
		}
		seen[key] = n
		list = append(list, acceptance{VirtualStorage: words[0], RelativePath: words[1], Storage: words[2], Behind: []string{}, line: n})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read what is to be accepted: %w", err)
	}
	switch {
	case len(faults) > 0:
		return nil, coded{exitUsage, fmt.Errorf("%s: %w", path, errors.Join(faults...))}
	case len(list) == 0:
		return nil, usage("%s names no repository", path)
	case len(list) > maxAcceptances:
		return nil, usage("%s names %d repositories: at most %d are accepted at once", path, len(list), maxAcceptances)
	}
	return list, nil
}

// acceptMany shows the loss by each line, asks once, and accepts one after the other. One that
// fails does not keep the others; the command fails at the end.
func (r *run) acceptMany(ctx context.Context, path string) error {
	list, err := readAcceptances(path)
	if err != nil {
		return err
	}
	if err := r.planAcceptances(ctx, list); err != nil {
		return err
	}
	document := acceptances{Schema: admin.Schema, DryRun: r.cmd.Bool("dry-run"), Repositories: list}
	if document.DryRun {
		return r.answer(document, func(out *output) { showAcceptances(out, list) })
	}
	showAcceptances(r.aside(), list)
	planned := count(list, resultPlanned)
	if planned == 0 {
		return coded{exitRefused, errors.New("nothing is to be accepted: no storage misses a write of these repositories; nothing was changed")}
	}
	if !r.cmd.IsSet("confirm") {
		r.aside().printf("Losses of %d repositories are accepted for ever. ", planned)
	}
	if err := r.confirmAs(ctx, "Type the number of repositories to go on: ", fmt.Sprint(planned)); err != nil {
		return err
	}
	line := &progressLine{w: r.stderr, rewrite: r.interactive}
	worst := 0
	for i := range list {
		a := &list[i]
		if a.Result != resultPlanned || ctx.Err() != nil {
			continue
		}
		text := fmt.Sprintf("%d of %d repositories to go", count(list, resultPlanned), planned)
		line.show(text, text)
		if err := r.acceptOne(ctx, a); err != nil {
			a.Result, a.Error = resultFailed, err.Error()
			worst = max(worst, exitCode(ctx, err))
		} else {
			a.Result = resultAccepted
		}
	}
	line.end()
	err = r.answer(document, func(out *output) {
		for _, a := range list {
			if a.Result == resultFailed {
				out.printf("%s %s of %s: %s\n", out.mark(bad), a.RelativePath, a.VirtualStorage, a.Error)
			}
		}
		s := good
		if worst != 0 {
			s = bad
		}
		out.printf("%s losses accepted: %d; failed: %d; not lost: %d; not asked for: %d; the record: praefectctl dataloss accepted\n", out.mark(s),
			count(list, resultAccepted), count(list, resultFailed), count(list, resultNothing), count(list, resultPlanned))
	})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return coded{exitInterrupted, errors.New("interrupted: the losses that are counted as accepted were accepted; the command can be repeated")}
	case worst != 0:
		return coded{code: worst}
	}
	return nil
}

// acceptOne accepts one loss. Each has a request id of its own: a repetition of the command asks
// for the rest.
func (r *run) acceptOne(ctx context.Context, a *acceptance) error {
	change := r.change()
	change.RequestID = r.newID()
	request := admin.AcceptLossRequest{Change: change, VirtualStorage: a.VirtualStorage, RelativePath: a.RelativePath, Storage: a.Storage}
	_, err := once(ctx, r, request.RequestID, call((*admin.Client).AcceptLoss, request))
	return err
}

func count(list []acceptance, result string) int {
	n := 0
	for i := range list {
		if list[i].Result == result {
			n++
		}
	}
	return n
}

// planAcceptances finds out the loss by each line. A name that does not exist ends it: then
// nothing of the file is carried out.
func (r *run) planAcceptances(ctx context.Context, list []acceptance) error {
	status, err := r.statusNow(ctx, "")
	if err != nil {
		return err
	}
	var faults []error
	for i := range list {
		a := &list[i]
		if why := unknownName(status, *a); why != "" {
			faults = append(faults, fmt.Errorf("line %d: %s", a.line, why))
		}
	}
	if len(faults) > 0 {
		return coded{exitError, fmt.Errorf("%w\nnothing was changed", errors.Join(faults...))}
	}
	for i := range list {
		a := &list[i]
		request := admin.DatalossRequest{VirtualStorage: a.VirtualStorage, RelativePath: a.RelativePath}
		answer, err := inTime(ctx, r, call((*admin.Client).Dataloss, request))
		switch {
		case err != nil:
			return err
		case len(answer.Repositories) == 0:
			a.Result, a.Available = resultNothing, true
			continue
		}
		lost := answer.Repositories[0]
		a.Result, a.Available, a.Behind, a.Loses = resultPlanned, lost.Available, lost.Behind, slices.Contains(lost.Behind, a.Storage)
		a.conflict = len(lost.Conflicts) > 0
	}
	return nil
}

// unknownName says which name of a line does not exist.
func unknownName(status admin.StatusResponse, a acceptance) string {
	for _, vs := range status.VirtualStorages {
		if vs.Name != a.VirtualStorage {
			continue
		}
		if slices.ContainsFunc(vs.Storages, func(st admin.Storage) bool { return st.Name == a.Storage }) {
			return ""
		}
		return fmt.Sprintf("virtual storage %q has no storage %q", vs.Name, a.Storage)
	}
	return fmt.Sprintf("no virtual storage %q", a.VirtualStorage)
}

func showAcceptances(out *output, list []acceptance) {
	header := []string{"", "VIRTUAL STORAGE", "REPOSITORY", "CHOSEN", "AVAILABLE", "BEHIND", "EFFECT"}
	out.table(header, each(list, func(a acceptance) []string {
		effect, s := "what the others have more is given up", warning
		switch {
		case a.Result == resultNothing:
			effect, s = "nothing is lost: left out", good
		case a.Loses:
			effect, s = "ACKNOWLEDGED WRITES ARE LOST", bad
		case a.Available && !a.conflict:
			effect = "repair does this without loss"
		}
		return []string{out.mark(s), a.VirtualStorage, a.RelativePath, a.Storage, yesNo(a.Available), strings.Join(a.Behind, ", "), effect}
	}))
	out.printf("\nrepositories: %d, to be accepted: %d\n", len(list), count(list, resultPlanned))
}
