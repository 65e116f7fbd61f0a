package memory

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

const (
	mainBranch = "refs/heads/main"
	zeroOID    = "0000000000000000000000000000000000000000"
)

// repository is a set of references. It is guarded by the server's mutex.
type repository struct {
	head    string            // the branch that HEAD names
	refs    map[string]string // name to object id
	created time.Time
}

func newRepository(head string) *repository {
	return &repository{head: head, refs: make(map[string]string), created: time.Now()}
}

// names returns the names of the references in order.
func (r *repository) names() []string {
	return slices.Sorted(maps.Keys(r.refs))
}

// checksum is over the references that count, or all.
func (r *repository) checksum(counts func(line []byte) bool) string {
	var sum wire.Checksum
	add := func(oid, name string) {
		if line := []byte(oid + " " + name); counts(line) {
			sum.Add(line)
		}
	}
	if oid, ok := r.refs[r.head]; ok {
		add(oid, "HEAD")
	}
	for name, oid := range r.refs {
		add(oid, name)
	}
	return sum.String()
}

func all([]byte) bool { return true }

// defaultBranch returns HEAD's branch if it exists, else the first that does
// of main, master and any other.
func (r *repository) defaultBranch() string {
	for _, name := range append([]string{r.head, mainBranch, "refs/heads/master"}, r.names()...) {
		if _, exists := r.refs[name]; exists && strings.HasPrefix(name, "refs/heads/") {
			return name
		}
	}
	return ""
}

// resolve returns the object id that a revision leads to: a full id is its
// own, zero included; else it must name a reference.
func (r *repository) resolve(revision string) (string, error) {
	if isOID(revision) {
		return revision, nil
	}
	if revision == "HEAD" {
		revision = r.head
	}
	if oid, ok := r.refs[revision]; ok {
		return oid, nil
	}
	return "", status.Error(codes.NotFound, "reference not found")
}

// set gives a reference a new value if its old one is as wanted: "" for any,
// zero for none. A new value of zero removes it.
func (r *repository) set(name, oid, old string) error {
	current, exists := r.refs[name]
	switch {
	case old == zeroOID && exists:
		return status.Errorf(codes.Internal, "cannot lock ref %q: reference already exists", name)
	case old != "" && old != zeroOID && current != old:
		return status.Errorf(codes.Internal, "cannot lock ref %q: is at %q but expected %q", name, current, old)
	case oid == zeroOID:
		delete(r.refs, name)
		return nil
	}
	if !exists {
		for other := range r.refs {
			if strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
				return status.Errorf(codes.Internal, "cannot lock ref %q: %q exists", name, other)
			}
		}
	}
	r.refs[name] = oid
	return nil
}

func isOID(s string) bool {
	return len(s) == len(zeroOID) && strings.Trim(s, "0123456789abcdef") == ""
}

// locate returns the disk and the clean path that a request names. Its errors
// are statuses. The caller holds the server's mutex.
func (h *handlers) locate(named *gitalypb.Repository) (*disk, string, error) {
	if err := wire.CheckFields(named); err != nil {
		return nil, "", err
	}
	disk, ok := h.server.disks[named.GetStorageName()]
	if !ok {
		return nil, "", wire.UnknownStorage()
	}
	clean, err := wire.CleanPath(named.GetRelativePath())
	return disk, clean, err
}

// read calls use with the repository that a request names, under the lock for
// readers: use must not change it, nor wait.
func (h *handlers) read(named *gitalypb.Repository, use func(*repository) error) error {
	h.server.mu.RLock()
	defer h.server.mu.RUnlock()
	return h.use(named, use)
}

// write is read, but use may change the repository.
func (h *handlers) write(named *gitalypb.Repository, use func(*repository) error) error {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	return h.use(named, use)
}

func (h *handlers) use(named *gitalypb.Repository, use func(*repository) error) error {
	disk, path, err := h.locate(named)
	if err != nil {
		return err
	}
	repo, ok := disk.repos[path]
	if !ok {
		return wire.RepositoryNotFound()
	}
	return use(repo)
}

// vacant refuses a place where a repository is.
func (h *handlers) vacant(named *gitalypb.Repository) error {
	h.server.mu.RLock()
	defer h.server.mu.RUnlock()
	_, _, err := h.locateVacant(named)
	return err
}

// locateVacant is locate for a place where no repository is.
func (h *handlers) locateVacant(named *gitalypb.Repository) (*disk, string, error) {
	disk, path, err := h.locate(named)
	if err != nil {
		return nil, "", err
	}
	if _, exists := disk.repos[path]; exists {
		return nil, "", wire.Fault(wire.RepositoryExists(), "creating repository")
	}
	return disk, path, nil
}

// create puts a repository where none is.
func (h *handlers) create(named *gitalypb.Repository, repo *repository) error {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	disk, path, err := h.locateVacant(named)
	if err != nil {
		return err
	}
	disk.repos[path] = repo
	return nil
}
