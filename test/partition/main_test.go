package partition

import (
	"os"
	"testing"

	"praefect/test/cluster"
)

// programs are built once.
var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }
