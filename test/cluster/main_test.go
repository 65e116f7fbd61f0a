package cluster

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if note := os.Getenv(orphanNote); note != "" {
		fmt.Fprintln(os.Stderr, ownAndHang(note))
		os.Exit(1)
	}
	os.Exit(m.Run())
}
