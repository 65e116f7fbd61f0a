package queue

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"praefect/fsm/state"
)

// maxKeyBytes bounds a virtual storage's name and a relative path together: a Postgres index takes some 2,700 bytes.
const maxKeyBytes = 2048

// maxTextBytes bounds the texts that are stored for display.
const maxTextBytes = 2048

// ValidKey returns an error that matches ErrInvalid if no implementation need store the key: a part is empty, is no text,
// or is too long.
func ValidKey(k state.Key) error {
	switch {
	case k.VirtualStorage == "" || k.RelativePath == "":
		return fmt.Errorf("%w: key %q, %q has an empty part", ErrInvalid, k.VirtualStorage, k.RelativePath)
	case !isText(k.VirtualStorage) || !isText(k.RelativePath):
		return fmt.Errorf("%w: key %q, %q is not text", ErrInvalid, k.VirtualStorage, k.RelativePath)
	case len(k.VirtualStorage)+len(k.RelativePath) > maxKeyBytes:
		return fmt.Errorf("%w: key %q, %.40q… has more than %d bytes", ErrInvalid, k.VirtualStorage, k.RelativePath, maxKeyBytes)
	}
	return nil
}

// Valid returns an error that matches ErrInvalid if a field is not set.
func (c Claim) Valid() error {
	if !isText(c.VirtualStorage) || c.VirtualStorage == "" || c.Worker == "" || c.Limit < 1 || c.Lease <= 0 {
		return fmt.Errorf("%w: claim %+v", ErrInvalid, c)
	}
	return nil
}

// LeaseValid returns an error that matches ErrInvalid unless a lease lasts.
func LeaseValid(lease time.Duration) error {
	if lease <= 0 {
		return fmt.Errorf("%w: lease %v", ErrInvalid, lease)
	}
	return nil
}

// Prepare is how implementations take requests: the valid ones in the order of their keys, in which several jobs are
// always locked, one for each key (the one
// that is due first), with texts that can be stored; and an error that names the others.
func Prepare(requests []Request) ([]Request, error) {
	var refused []error
	valid := make([]Request, 0, len(requests))
	for _, r := range requests {
		if err := ValidKey(r.Key); err != nil {
			refused = append(refused, err)
			continue
		}
		r.Delay = max(r.Delay, 0)
		r.Reason, r.CorrelationID = CleanText(r.Reason), CleanText(r.CorrelationID)
		targets := make([]string, len(r.Targets))
		for i, target := range r.Targets {
			targets[i] = CleanText(target)
		}
		r.Targets = targets
		valid = append(valid, r)
	}
	slices.SortStableFunc(valid, func(a, b Request) int {
		return cmp.Or(a.Compare(b.Key), cmp.Compare(a.Delay, b.Delay))
	})
	valid = slices.CompactFunc(valid, func(a, b Request) bool { return a.Key == b.Key })
	return valid, errors.Join(refused...)
}

// Bound is a limit as a filter means it: between 1 and MaxBatch.
func Bound(limit int) int {
	if limit < 1 || limit > MaxBatch {
		return MaxBatch
	}
	return limit
}

// DepthBound is a limit as Depth means it.
func DepthBound(limit int) int {
	if limit < 1 {
		return DepthLimit
	}
	return min(limit, math.MaxInt32)
}

// LostCause is the last error of a job whose worker let its lease end.
const LostCause = "the lease ended: its worker died, hung or lost the queue"

// CleanText makes any bytes, from a remote's error perhaps, a text of bounded length that any implementation can store.
func CleanText(s string) string {
	if len(s) > maxTextBytes {
		s = s[:maxTextBytes]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// isText says whether Postgres can store s: no other encoding than UTF-8, and no NUL.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
