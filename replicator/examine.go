package replicator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/steps"
)

const (
	// examineTries is how often differences are looked at under the repair lock before a repository that
	// is written all the time is left for later, and examinePause the wait between two looks:
	// the intents of other instances linger for some seconds.
	examineTries = 4
	examinePause = 4 * time.Second
	// fsckBound bounds the check of one replica's objects.
	fsckBound = 10 * time.Minute
)

// examine compares the replicas of one repository with the primary's. A first look takes no repair lock
// and costs no entry in the log. A replica that it finds different is looked at again under the
// repair lock, where no write of this instance begins and the state refuses a doubt where another
// one may have written: only the second look counts.
func (v *verifier) examine(ctx context.Context, key state.Key, how thorough) Verified {
	before := v.repairer.ledger.View()
	vs := before.VirtualStorage(key.VirtualStorage)
	storages, why := plan.Comparable(vs, before.Entry(key))
	if why != "" {
		return Verified{Undecided: why}
	}
	damaged := make(map[string]string)
	checked := v.checkSome(ctx, key, storages, how, damaged)
	found := v.compare(ctx, key, storages, damaged)
	for try := 0; len(found.Differences) > 0; try++ {
		again, err := v.recheck(ctx, key, damaged, try > 0)
		switch {
		case err == nil:
			if found = again; len(found.Differences) > 0 {
				v.repair(key, found.Findings)
			}
		case !steps.MetWrite(err):
			found = Verified{Undecided: err.Error()}
		case try+1 == examineTries:
			found = Verified{Undecided: fmt.Sprintf("it was written at each of %d looks: %v", examineTries, err)}
		default:
			pause(ctx, examinePause)
			if ctx.Err() == nil {
				continue
			}
			found = Verified{Undecided: ctx.Err().Error()}
		}
		break
	}
	if found.Undecided == "" {
		found.Checked = checked
		found.skip(v.repairer.ledger.View().VirtualStorage(key.VirtualStorage))
	}
	return found
}

// skip notes the storages of which nothing is said.
func (f *Verified) skip(vs *state.VirtualStorage) {
	if vs == nil {
		return
	}
	said := slices.Concat(f.Alike, f.Unknown)
	for _, d := range f.Differences {
		said = append(said, d.Storage)
	}
	for i := range vs.Succession {
		if s := &vs.Succession[i]; !slices.Contains(said, s.Name) {
			f.Skipped = append(f.Skipped, s.Name)
			f.behind = f.behind || s.State == state.Serving
		}
	}
}

// compare looks at the replicas on the storages, of which the primary comes first.
func (v *verifier) compare(ctx context.Context, key state.Key, storages []string, damaged map[string]string) Verified {
	seen := make([]plan.Seen, len(storages))
	var asked sync.WaitGroup // as many as a virtual storage has storages
	for i, storage := range storages {
		asked.Go(func() {
			seen[i] = plan.Seen{Storage: storage, Damaged: damaged[storage]}
			seen[i].Replica, seen[i].Err = v.repairer.calls.replica(ctx, key, storage)
		})
	}
	asked.Wait()
	for i := range seen[1:] {
		s := &seen[i+1]
		if s.Err != nil || seen[0].Err != nil || seen[0].Pool == "" || s.Pool != "" || !s.Has {
			continue
		}
		// A replica without its pool, which the storage lacks, only takes more room.
		there, err := v.repairer.calls.exists(ctx, state.Key{VirtualStorage: key.VirtualStorage, RelativePath: seen[0].Pool}, s.Storage)
		if s.Err = err; err == nil && !there {
			s.Pool = seen[0].Pool
		}
	}
	return Verified{Findings: plan.Compare(seen), absent: seen[0].Err == nil && !seen[0].Has}
}

// recheck looks again, under the repair lock, and has the replicas put in doubt that it finds
// different. steps.MetWrite knows its error if a write may explain the finding.
func (v *verifier) recheck(ctx context.Context, key state.Key, damaged map[string]string, pause bool) (Verified, error) {
	r := v.repairer
	guard, done, err := r.acquire(ctx, key, pause && v.cfg.PauseBudget > 0)
	if err != nil {
		return Verified{}, err
	}
	defer done(true)
	view, err := guard.OpenIntent(ctx, state.Scope{RefsOnly: true})
	if err != nil {
		return Verified{}, fmt.Errorf("open an intent to verify: %w", err)
	}
	entry := view.Entry(key)
	storages, why := plan.Comparable(view.VirtualStorage(key.VirtualStorage), entry)
	if why != "" {
		return Verified{}, errors.New(why)
	}
	if !plan.Unexplained(entry, entry, r.ledger.Incarnation()) {
		return Verified{}, repair.ErrRepositoryBusy
	}
	found := v.compare(ctx, key, storages, damaged)
	switch {
	case invalidated(guard), !plan.Unexplained(entry, r.ledger.View().Entry(key), r.ledger.Incarnation()):
		return Verified{}, repair.ErrInvalidated
	case len(found.Differences) == 0:
		return found, nil
	}
	return found, r.propose(ctx, "put what differs in doubt", func(ctx context.Context) error {
		return guard.MarkDoubt(ctx, found.Primary, found.Differences)
	})
}

// checkSome has storages check the objects of their replicas: as many as how says, and the ones
// that were damaged before. It notes their complaints in damaged, and returns which could tell.
func (v *verifier) checkSome(ctx context.Context, key state.Key, storages []string, how thorough, damaged map[string]string) (checked []string) {
	sample := rand.IntN(len(storages))
	for i, storage := range storages {
		if how == checkAll || how == checkOne && i == sample || v.damaged.has(key, storage) {
			complaint, err := v.check(ctx, key, storage)
			switch {
			case errors.Is(err, errNoFsck):
				continue
			case err != nil:
				about(v.log, key).Info("the objects of a replica could not be checked", "storage", storage, "err", err)
				continue
			case complaint != "":
				damaged[storage] = complaint
			}
			checked = append(checked, storage)
		}
	}
	return checked
}

// check has a storage check the objects of its replica: twice if it complains, because an object
// that is being written meanwhile may look damaged once.
func (v *verifier) check(ctx context.Context, key state.Key, storage string) (complaint string, err error) {
	for range 2 {
		has, err := v.repairer.calls.exists(ctx, key, storage)
		if err != nil || !has {
			return "", err
		}
		if complaint, err = v.repairer.calls.fsck(ctx, key, storage); err != nil || complaint == "" {
			return "", err
		}
	}
	return complaint, nil
}

// errNoFsck says that a storage cannot check the objects of a replica.
var errNoFsck = errors.New("the storage does not check objects")

// fsck asks a storage for git's complaint about the objects of a replica, empty if it has none.
func (c *calls) fsck(ctx context.Context, key state.Key, storage string) (complaint string, err error) {
	conn, err := c.storages.Conn(key.VirtualStorage, storage)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, fsckBound)
	defer cancel()
	answer, err := gitalypb.NewRepositoryServiceClient(conn).Fsck(ctx, &gitalypb.FsckRequest{Repository: repository(key, storage)})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return "", errNoFsck
	case err != nil:
		return "", fmt.Errorf("check the objects of the replica on %q: %w", storage, err)
	}
	return strings.TrimSpace(string(answer.GetError())), nil
}
