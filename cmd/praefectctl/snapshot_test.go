package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSnapshot_savedAndInspected(t *testing.T) {
	i := newInstance(t)
	i.WrittenOnlyTo("@hashed/ab/cd.git", "gitaly-1")
	file := filepath.Join(t.TempDir(), "state")
	i.ctl("raft", "snapshot", "save", file).ends(t, 0, "saved by praefect-1", "repositories in the ledger: 1")
	answer := document[snapshotResponse](t, praefectctl(t, nil, "-o", "json", "raft", "snapshot", "inspect", file), 0)
	if answer.Index != i.View().Index || answer.ClusterID != i.View().ClusterID || len(answer.VirtualStorages) != 1 {
		t.Errorf("%+v", answer)
	}
	if v := answer.VirtualStorages[0]; v.Primary != "gitaly-1" || v.Listed != 1 || v.Storages[1].Behind != 1 || v.Storages[0].Behind != 0 {
		t.Errorf("%+v", v)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, %v", left, err)
	}
}

func TestSnapshot_keepsTheFormerFile(t *testing.T) {
	file := writeFile(t, "the former one")
	got := praefectctl(t, nil, "-endpoints", "127.0.0.1:1", "-timeout", "1s", "raft", "snapshot", "save", file)
	if text, err := os.ReadFile(file); got.code != exitUnavailable || err != nil || string(text) != "the former one" {
		t.Errorf("%+v; the file is %q, %v", got, text, err)
	}
	praefectctl(t, nil, "raft", "snapshot", "inspect", file).fails(t, exitError, "no whole snapshot")
}
