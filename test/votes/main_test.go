package votes

import (
	"fmt"
	"os"
	"testing"

	"praefect/test/cluster"
)

// programs are built once, with the points to die at.
var programs cluster.Binaries

func TestMain(m *testing.M) {
	if to := os.Getenv(lookVariable); to != "" {
		if err := look(to, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(cluster.Main(m, &programs, "-tags=failpoint"))
}
