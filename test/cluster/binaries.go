package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Binaries is a directory that holds the programs of a cluster. Make one with
// Build, BinariesIn or Main.
type Binaries string

// The programs of a cluster, as their files are called.
const (
	Praefect        = "praefect"
	Praefectctl     = "praefectctl"
	GitRemoteGitaly = "git-remote-gitaly"
	TestGitaly      = "test-gitaly"
)

// Path is the file of one program.
func (b Binaries) Path(program string) string { return filepath.Join(string(b), program) }

// Build compiles the programs into dir. The flags go to go build, such as
// "-race" or "-tags=failpoint". It works only from within the module, as tests
// and make run.
func Build(ctx context.Context, dir string, flags ...string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the directory of the programs: %w", err)
	}
	// -trimpath as in the Makefile, so that both share the build cache; without the data that
	// debuggers need the programs are linked faster.
	args := append([]string{"build", "-trimpath", "-ldflags=-w", "-o", dir + string(filepath.Separator)}, flags...)
	args = append(args, "praefect/cmd/"+Praefect, "praefect/cmd/"+Praefectctl, "praefect/cmd/"+GitRemoteGitaly,
		"praefect/test/gitaly/"+TestGitaly)
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs of the cluster: %w: %s", err, out)
	}
	return BinariesIn(dir)
}

// BinariesIn names the programs that lie in dir already, where all of them must be.
func BinariesIn(dir string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the directory of the programs: %w", err)
	}
	b := Binaries(dir)
	var missing []error
	for _, program := range []string{Praefect, Praefectctl, GitRemoteGitaly, TestGitaly} {
		if _, err := exec.LookPath(b.Path(program)); err != nil {
			missing = append(missing, err)
		}
	}
	if err := errors.Join(missing...); err != nil {
		return "", fmt.Errorf("programs are missing (make build makes them): %w", err)
	}
	return b, nil
}

// Main is for a TestMain whose tests start clusters: it builds the programs once
// with the flags of Build, stores where they are in built, runs the tests and
// removes the programs. It returns the code to exit with.
func Main(m interface{ Run() int }, built *Binaries, flags ...string) (code int) {
	dir, err := os.MkdirTemp("", "cluster-programs-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "make the directory of the programs: %v\n", err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintf(os.Stderr, "remove the programs: %v\n", err)
			code = 1
		}
	}()
	*built, err = Build(context.Background(), dir, flags...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// environment is all that the programs get to know of ours: the settings of a
// user's git or Postgres shall not change the result of a test.
func (b Binaries) environment() []string {
	env := []string{"PATH=" + string(b) + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=/", "LC_ALL=C"}
	for _, name := range []string{"TMPDIR", "GOCOVERDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
