package console

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"praefect/proxy/admin"
)

func refill() verb {
	request := func(o changeRequest, change admin.Change) admin.RefillRequest {
		return admin.RefillRequest{Change: change, VirtualStorage: o.VirtualStorage, Storage: o.Storage}
	}
	return verb{
		needs: namesStorage,
		propose: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change) (proposal, error) {
			r := request(o, change)
			r.DryRun = true
			p, err := c.Refill(ctx, r)
			if err != nil {
				return proposal{}, err
			}
			return proposal{Title: "Copy everything onto " + p.Storage, Confirm: p.Storage, Lines: []line{
				{Text: fmt.Sprintf("%s (%s) of %s is backfilled from %s; known to be behind: %d", p.Storage, p.State, p.VirtualStorage, strings.Join(p.Sources, ", "), p.Behind)},
				{Text: "each repository is compared first; where each side has what the other lacks, nothing is copied, and it is in conflict"},
			}}, nil
		},
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			a, err := c.Refill(ctx, request(o, change))
			return result{Text: fmt.Sprintf("%s of %s is backfilled", a.Storage, a.VirtualStorage), Note: a.Note}, err
		},
	}
}

func acceptLoss() verb {
	return verb{
		needs: func(o changeRequest) bool { return o.Storage != "" && o.VirtualStorage != "" && o.RelativePath != "" },
		propose: func(ctx context.Context, c Cluster, o changeRequest, _ admin.Change) (proposal, error) {
			a, err := c.Dataloss(ctx, admin.DatalossRequest{VirtualStorage: o.VirtualStorage, RelativePath: o.RelativePath})
			if err != nil {
				return proposal{}, err
			}
			if len(a.Repositories) == 0 {
				return proposal{}, admin.Errorf(admin.Refused, "nothing is lost of %s: no storage misses a write", o.RelativePath)
			}
			return proposal{Title: "The replica on " + o.Storage + " is the right one", Confirm: o.Storage, Lines: lossLines(o, a.Repositories[0])}, nil
		},
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			done, err := c.AcceptLoss(ctx, admin.AcceptLossRequest{Change: change, VirtualStorage: o.VirtualStorage, RelativePath: o.RelativePath, Storage: o.Storage})
			return result{Text: fmt.Sprintf("%s has the right replica of %s; the others are repaired from it", o.Storage, o.RelativePath), Note: done.Note}, err
		},
	}
}

func lossLines(o changeRequest, lost admin.Repository) []line {
	lines := []line{{Text: fmt.Sprintf("%s in %s; behind: %s", lost.RelativePath, lost.VirtualStorage, strings.Join(lost.Behind, ", "))}}
	if slices.Contains(lost.Behind, o.Storage) {
		lines = append(lines, line{"bad", o.Storage + " misses acknowledged writes: they are lost"})
	}
	if lost.Available && len(lost.Conflicts) == 0 { // no repair ends a conflict
		lines = append(lines, line{"warning", "a storage that serves has every acknowledged write: repair does this without loss"})
	}
	for _, one := range lost.Conflicts {
		lines = append(lines, line{"warning", fmt.Sprintf("%s and %s each have what the other lacks: %d references differ", one.Storage, one.Primary, one.Differing)})
	}
	return append(lines, line{"bad", "what only the other storages have of the repository is given up permanently"})
}
