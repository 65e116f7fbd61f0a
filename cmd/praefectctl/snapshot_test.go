package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSnapshot_savedAndInspected(t *testing.T) {
	i := newInstance(t)
	i.WrittenOnlyTo("@hashed/ab/cd.git", "gitaly-1")
	file := filepath.Join(t.TempDir(), "state")
	got := praefectctl(t, nil, "-endpoints", i.serve(t), "raft", "snapshot", "save", file)
	if got.code != 0 || !strings.Contains(got.stdout, "saved by praefect-1") || !strings.Contains(got.stdout, "repositories in the ledger: 1") {
		t.Fatalf("%+v", got)
	}
	got = praefectctl(t, nil, "-o", "json", "raft", "snapshot", "inspect", file)
	var answer snapshotResponse
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || got.code != 0 {
		t.Fatalf("%v: %+v", err, got)
	}
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
