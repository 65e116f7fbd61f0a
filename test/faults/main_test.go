package faults

import (
	"os"
	"testing"

	"praefect/test/cluster"
)

// programs are built once, with the points to die at.
var programs cluster.Binaries

func TestMain(m *testing.M) {
	os.Exit(cluster.Main(m, &programs, "-tags=failpoint"))
}
