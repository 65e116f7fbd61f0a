package gitalytest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// SeedOnDisk writes three commits and a blob of 300,000 bytes into a repository on disk, with the
// program git. They are the same in every repository.
func SeedOnDisk(t *testing.T, git, dir string) Objects {
	t.Helper()
	blob := bytes.Repeat([]byte("some text\n"), 30_000)
	objects := Objects{Blob: Git(t, git, dir, blob, "hash-object", "-w", "--stdin"), BlobSize: int64(len(blob))}
	tree := Git(t, git, dir, []byte("100644 blob "+objects.Blob+"\ttext\n"), "mktree")
	for range 3 {
		args := []string{"commit-tree", tree, "-m", "a commit"}
		if n := len(objects.Commits); n > 0 {
			args = append(args, "-p", objects.Commits[n-1])
		}
		objects.Commits = append(objects.Commits, Git(t, git, dir, nil, args...))
	}
	return objects
}

// Git runs git in a directory, and returns what it prints.
func Git(t testing.TB, git, dir string, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command(git, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, GitEnv(), bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// GitEnv makes git's objects the same in every run, whoever runs it.
func GitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1700000000 +0100",
		"GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org", "GIT_COMMITTER_DATE=1700000000 +0100",
	}
}
