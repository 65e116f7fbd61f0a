package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lostClaimsFile says beside the identity which virtual storages of this cluster another one has
// claimed: without Postgres a restarted instance would not know it, and serve them.
const lostClaimsFile = "lost-claims.json"

// LostClaim says that another cluster has claimed a virtual storage which this one serves.
type LostClaim struct {
	VirtualStorage string `json:"virtual_storage"`
	// ClusterID, Instance and Host belong to the claimant.
	ClusterID string `json:"cluster_id"`
	Instance  string `json:"instance"`
	Host      string `json:"host"`
	// Since is when the claim was made, Seen when it was confirmed last, as far as it is known here.
	Since time.Time `json:"since"`
	Seen  time.Time `json:"seen"`
}

// ReadLostClaims returns the lost claims that the data directory remembers; none if there is no such
// directory yet.
func ReadLostClaims(dir string) ([]LostClaim, error) {
	data, err := os.ReadFile(filepath.Join(dir, lostClaimsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("raft.data_dir %q: %w", dir, err)
	}
	var lost []LostClaim
	if err := json.Unmarshal(data, &lost); err != nil {
		return nil, fmt.Errorf("raft.data_dir %q: %s, which says what another cluster has claimed, is damaged: %w; "+
			"if `praefect claim list` shows no claim of another cluster, remove the file", dir, lostClaimsFile, err)
	}
	return lost, nil
}

// WriteLostClaims makes the data directory remember these lost claims and no others. They are durable
// when it returns without an error.
func WriteLostClaims(dir string, lost []LostClaim) error {
	err := writeLostClaims(dir, lost)
	if err != nil {
		return fmt.Errorf("raft.data_dir %q: remember what another cluster has claimed: %w", dir, err)
	}
	return nil
}

func writeLostClaims(dir string, lost []LostClaim) error {
	if len(lost) > 0 {
		data, err := json.Marshal(lost)
		if err != nil {
			return err
		}
		return replaceFile(dir, lostClaimsFile, append(data, '\n'))
	}
	err := os.Remove(filepath.Join(dir, lostClaimsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}
