package admintest

import (
	"context"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// verified are the results of verifications.
type verified struct {
	answers map[string]admin.VerifyResponse // by path
	// differing are the lines that the history gets while requested repositories are verified.
	differing    []state.Change
	repositories int
	left         int
	err          error
}

// SetVerified makes a verification of the repository find something.
func (c *Cluster) SetVerified(path string, answer admin.VerifyResponse) {
	c.locked(func() { c.verified.answers[path] = answer })
}

// SetRepositories makes the catalogue have so many repositories, of which the differing ones are
// found when all are verified; or fail.
func (c *Cluster) SetRepositories(n int, err error, differing ...state.Change) {
	c.locked(func() { c.verified.repositories, c.verified.err, c.verified.differing = n, err, differing })
}

// verification is the cluster's verification: each question after a request finds that all but one
// repository were verified, and then that all were.
type verification struct{ *Cluster }

// Verify implements admin.Verification.
func (v verification) Verify(_ context.Context, key state.Key) (admin.VerifyResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	answer, known := v.verified.answers[key.RelativePath]
	if !known {
		return answer, admin.ErrNoRepository
	}
	return answer, nil
}

// Request implements admin.Verification.
func (v verification) Request(context.Context, string, string) (int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.verified.left = min(v.verified.repositories, 2)
	return int64(v.verified.repositories), v.verified.err
}

// Count implements admin.Verification.
func (v verification) Count(context.Context, string) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.verified.repositories, v.verified.err
}

// Requested implements admin.Verification.
func (v verification) Requested(context.Context, string) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.verified.left > 0 {
		v.verified.left--
	}
	if v.verified.left > 0 {
		return v.verified.left, v.verified.err
	}
	for _, change := range v.verified.differing {
		if err := v.differs(change); err != nil {
			return 0, err
		}
	}
	v.verified.differing = nil
	return 0, v.verified.err
}

// differs puts a replica in doubt. It needs mu.
func (v verification) differs(change state.Change) error {
	key := keyOf(change.RelativePath)
	if err := v.apply(state.Command{Open: &state.OpenIntent{VirtualStorage: key.VirtualStorage, Paths: []string{key.RelativePath}, Kind: state.Open}}); err != nil {
		return err
	}
	primary, _ := v.state.PrimaryOf(key)
	return v.apply(state.Command{MarkDoubt: &state.MarkDoubt{
		Key: key, Primary: primary.Name, AsOf: v.state.Index, Differences: []state.Difference{{Storage: change.Storage, What: change.Why}},
	}}, state.Command{Close: &state.CloseIntent{VirtualStorage: key.VirtualStorage, Paths: []string{key.RelativePath}}})
}
