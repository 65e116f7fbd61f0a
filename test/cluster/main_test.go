package cluster

import (
	"fmt"
	"os"
	"testing"
)

// programs are those of this package's tests. Only TestMain sets it.
var programs Binaries

func TestMain(m *testing.M) {
	if note := os.Getenv(orphanNote); note != "" {
		fmt.Fprintln(os.Stderr, ownAndHang(note))
		os.Exit(1)
	}
	os.Exit(Main(m, &programs))
}
