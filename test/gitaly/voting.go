package gitaly

import (
	"context"
	"crypto/sha1"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/vote"
)

// Fault makes the votes about some repositories, or their writes, go wrong.
type Fault = vote.Fault

// FaultsFile is the file in a storage's directory that holds its faults, a list of Fault
// in JSON. It is read for every vote and git, so that a test can
// change it at any time, with WriteFaults.
const FaultsFile = "+faults.json"

// WriteFaults replaces the faults of the storage in that directory.
func WriteFaults(dir string, faults ...Fault) error {
	return vote.WriteFaults(filepath.Join(dir, FaultsFile), faults)
}

// voter is how a storage votes.
type voter struct {
	faults []Fault // besides the ones in the file
	crash  func(context.Context)
	// release is that of Config.
	release string
}

// salted is the hash of a change that the release hashes otherwise than others.
func (v voter) salted(hash vote.Hash) vote.Hash {
	if v.release == "" {
		return hash
	}
	return vote.Of(append(hash[:], v.release...))
}

// prepares tells whether the release votes before it prepares a change.
func (v voter) prepares() bool {
	major, _, _ := strings.Cut(v.release, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 17
}

// killSelf ends this process as kill -9 does.
func killSelf(context.Context) {
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL) // nothing is left to report a failure to
	select {}
}

// relative is the path of the repository in its storage.
func (r *repository) relative() string {
	return strings.TrimPrefix(strings.TrimPrefix(r.path, r.storage.dir), "/")
}

// place is the subject of the repository's votes. Faults that cannot be read
// are a fault: the test that wrote them shall notice.
func (r *repository) place() vote.Place {
	faults, err := r.storage.faults()
	if err != nil {
		faults = []Fault{{Vote: "refuse"}}
	}
	return vote.Place{
		Repository: &gitalypb.Repository{StorageName: r.storage.name, RelativePath: r.relative()},
		Faults:     faults,
		Crash:      r.storage.voter.crash,
	}
}

// faults are the faults in the file, and the ones of the settings.
func (s *storage) faults() ([]Fault, error) {
	faults, err := vote.ReadFaults(filepath.Join(s.dir, FaultsFile))
	return append(faults, s.voter.faults...), err
}

// around makes a change that is not git's: the storages agree on it, it
// happens, and they agree that it has. If they do not it is not made.
func (r *repository) around(ctx context.Context, sum vote.Hash, change func() error) error {
	tx := vote.From(ctx)
	if r.storage.voter.prepares() {
		if err := tx.Vote(ctx, r.place(), vote.Preparing, sum); err != nil {
			return err
		}
	}
	if err := tx.Vote(ctx, r.place(), vote.Prepared, sum); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	return tx.Vote(ctx, r.place(), vote.Committed, sum)
}

// stop calls off the transaction, since the primary refuses the change.
func (r *repository) stop(ctx context.Context, tx *vote.Transaction) error {
	return tx.Stop(ctx, r.place())
}

// hashFiles adds the path, the mode and the content of every file below a
// directory to a hash, but for files that are left out.
func hashFiles(sum io.Writer, dir string, leaveOut func(relative string) bool) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		switch {
		case leaveOut != nil && leaveOut(relative) && entry.IsDir():
			return fs.SkipDir
		case leaveOut != nil && leaveOut(relative), !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(sum, "%s %o %d\n%s", relative, info.Mode().Perm()&0o111, len(content), content)
		return err
	})
}

// hash is the value that the storages agree on when they make a repository: all of it
// but its objects, which may be packed differently, and how references are
// stored.
func (r *repository) hash(ctx context.Context) (vote.Hash, error) {
	sum := sha1.New()
	err := r.run(ctx, command{args: []string{"for-each-ref", "--format=%(objectname) %(refname)"}, stdout: sum})
	if err == nil {
		err = hashFiles(sum, r.path, func(relative string) bool {
			first, _, _ := strings.Cut(relative, "/")
			return first == "objects" || first == "refs" || first == "packed-refs"
		})
	}
	if err != nil {
		return vote.Hash{}, fmt.Errorf("hash repository: %w", err)
	}
	return r.storage.voter.salted(vote.Hash(sum.Sum(nil))), nil
}
