package membership

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// runBook is the page whose commands this test carries out.
const runBook = "../../docs/operations/quorum-lost.md"

// TestCluster_quorumLostForGood loses two of three instances with their disks, asks the one
// that is left, recovers from it by the commands of the page, and wants everything back.
func TestCluster_quorumLostForGood(t *testing.T) {
	w := begin(t, cluster.Options{Instances: 3})
	survivor := w.c.Instances[2]
	lost := w.c.Instances[:2]
	for _, i := range lost {
		w.must("kill "+i.Label(), i.Kill())
		w.must("lose the disk of "+i.Label(), os.RemoveAll(i.RaftDir))
	}
	w.must("stop "+survivor.Label(), survivor.Terminate(w.ctx))
	w.must("start "+survivor.Label(), survivor.Start())
	w.answersQuestions(survivor)

	commands := readRunBook(t)
	w.carryOut(survivor, commands["survivor"])
	w.must("wait for "+survivor.Label(), survivor.WaitReady(w.ctx))
	for _, i := range lost {
		w.carryOut(i, commands["others"])
	}
	for _, i := range lost {
		w.must("wait for "+i.Label(), i.WaitReady(w.ctx))
	}
	w.allVote(3)
	w.getsOn("after the recovery")
	w.settled()
	w.carryOut(survivor, commands["operator"])
}

// answersQuestions wants an instance without a quorum to be asked, and read from.
func (w *world) answersQuestions(i *cluster.Instance) {
	w.t.Helper()
	w.eventually("an answer without a quorum", func() error {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		var trailer metadata.MD
		reader := workload.Client{Conn: i.Conn(), VirtualStorage: vs}
		id, err := reader.Find(ctx, w.paths[0], workload.Branch, grpc.Trailer(&trailer))
		if err == nil && (id == "" || len(trailer.Get(workload.Unleased)) != 1) {
			w.t.Fatalf("got %q and the trailer %v", id, trailer)
		}
		return err
	})
	if _, err := i.Metrics(w.ctx); err != nil {
		w.t.Errorf("metrics: %v", err)
	}
	for _, args := range [][]string{{"status"}, {"raft", "status"}} {
		out, code, err := w.c.Praefectctl(w.ctx, append([]string{"-endpoints", i.Addr}, args...)...)
		if err != nil || code != 4 || out == "" {
			w.t.Errorf("praefectctl %s: code %d, %v: %s", args, code, err, out)
		}
	}
	if out, code, err := w.c.Praefectctl(w.ctx, "-endpoints", i.Addr, "dataloss"); err != nil || code != 0 && code != 4 {
		w.t.Errorf("praefectctl dataloss: code %d, %v: %s", code, err, out)
	}
}

// readRunBook returns the commands of the page by where they are carried out.
func readRunBook(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(runBook)
	if err != nil {
		t.Fatal(err)
	}
	commands := make(map[string][]string)
	for _, block := range strings.Split(string(text), "```sh ")[1:] {
		where, rest, _ := strings.Cut(block, "\n")
		body, _, closed := strings.Cut(rest, "```")
		if !closed {
			t.Fatalf("the block of %q has no end", where)
		}
		commands[where] = append(commands[where], strings.Split(strings.TrimSpace(body), "\n")...)
	}
	for _, where := range []string{"survivor", "others", "operator"} {
		if len(commands[where]) == 0 {
			t.Fatalf("the page has no commands for %q", where)
		}
	}
	return commands
}

// carryOut carries out commands on the host of an instance.
func (w *world) carryOut(i *cluster.Instance, commands []string) {
	w.t.Helper()
	for _, command := range commands {
		words := strings.Fields(command)
		var err error
		switch {
		case command == "systemctl stop praefect":
			err = i.Terminate(w.ctx)
		case command == "systemctl start praefect":
			err = i.Start()
		case command == "rm -rf /var/lib/praefect/raft":
			err = os.RemoveAll(i.RaftDir)
		case words[0] == "praefectctl":
			_, err = w.c.Operate(w.ctx, words[1:]...)
		case words[0] == "praefect":
			err = w.praefect(i, words[1:])
		default:
			err = fmt.Errorf("it is not known how to run that")
		}
		w.must(i.Label()+"$ "+command, err)
	}
}

// praefect runs a command of the daemon's program with the settings of an instance.
func (w *world) praefect(i *cluster.Instance, args []string) error {
	for n, arg := range args {
		if arg == "/etc/praefect/config.toml" {
			args[n] = i.Config
		}
	}
	cmd := exec.CommandContext(w.ctx, programs.Path(cluster.Praefect), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	w.t.Logf("praefect %s\n%s", strings.Join(args, " "), &out)
	if err != nil {
		return fmt.Errorf("%w: %s", err, &out)
	}
	return nil
}
