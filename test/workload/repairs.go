package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"praefect/proxy/admin"
	"praefect/test/cluster"
)

// AwaitRepairs waits until nothing is left to repair and checks the whole state: the
// ledger and the queue are empty, every replica is sound and equal to the others,
// and has the writes of the history. It looks at the disks themselves.
func (h *History) AwaitRepairs(ctx context.Context, c *cluster.Cluster) error {
	if err := c.WaitConverged(ctx); err != nil {
		return err
	}
	var faults []error
	for _, i := range c.Instances {
		loss, err := i.Admin().Dataloss(ctx, admin.DatalossRequest{})
		if err != nil {
			return fmt.Errorf("ask %s for data loss: %w", i.Label(), err)
		}
		if len(loss.Repositories) > 0 {
			faults = append(faults, fmt.Errorf("%s names repositories with data loss: %+v", i.Label(), loss.Repositories))
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.surprises = 0
	for p, r := range h.repositories {
		surprises, wrong := r.check(ctx, p, c.StoragesOf(p.VirtualStorage))
		h.surprises += surprises
		for _, fault := range wrong {
			faults = append(faults, fmt.Errorf("repository %q of %q: %s", p.Path, p.VirtualStorage, fault))
		}
	}
	return errors.Join(faults...)
}

// check compares the replicas of a repository with each other and with the
// record of it. Surprises are commits that were not acknowledged and are there.
func (r *record) check(ctx context.Context, p Place, storages []*cluster.Storage) (surprises int, faults []string) {
	first, err := readReplica(ctx, storages[0], p.Path)
	if err != nil {
		return 0, []string{err.Error()}
	}
	for _, s := range storages[1:] {
		other, err := readReplica(ctx, s, p.Path)
		switch {
		case err != nil:
			faults = append(faults, err.Error())
		case other != first:
			faults = append(faults, fmt.Sprintf("replicas differ: on %s\n%son %s\n%s", storages[0].Label(), first, s.Label(), other))
		}
	}
	if there := first != ""; !slices.Contains(r.there, there) {
		faults = append(faults, fmt.Sprintf("it exists: %v, want one of %v", there, r.there))
	}
	if first == "" {
		return 0, faults
	}
	refs := make(map[string]string)
	for line := range strings.Lines(string(first)) {
		id, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		refs[ref] = id
	}
	for ref, possible := range r.refs {
		if !slices.Contains(possible, refs[ref]) {
			faults = append(faults, fmt.Sprintf("%s is %q, want one of %q", ref, refs[ref], possible))
		}
	}
	for branch, attempts := range r.branches {
		n, wrong := checkBranch(ctx, storages[0], p.Path, "refs/heads/"+branch, refs, attempts)
		surprises, faults = surprises+n, append(faults, wrong...)
	}
	return surprises, faults
}

// checkBranch wants every acknowledged commit on the branch once, in its order,
// and nothing that no client made. The other replicas have the same branch.
func checkBranch(ctx context.Context, s *cluster.Storage, path, ref string, refs map[string]string, attempts []attempt) (surprises int, faults []string) {
	var found []string
	if refs[ref] != "" {
		text, err := OnDisk(ctx, s, path, "log", "--reverse", "--format=%s", ref)
		if err != nil {
			return 0, []string{err.Error()}
		}
		found = strings.Fields(text)
	}
	next := 0
	for _, a := range attempts {
		switch {
		case next < len(found) && found[next] == a.subject:
			next++
			if !a.acknowledged && !a.inherited {
				surprises++
			}
		case a.acknowledged:
			faults = append(faults, fmt.Sprintf("%s lacks the acknowledged commit %q; it has %q", ref, a.subject, found))
		}
	}
	if next < len(found) {
		faults = append(faults, fmt.Sprintf("%s has %q, which nobody made there; it has %q", ref, found[next], found))
	}
	return surprises, faults
}
