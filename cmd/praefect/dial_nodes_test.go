package main

import (
	"net"
	"slices"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

func status(name string, writeable bool) *gitalypb.ServerInfoResponse_StorageStatus {
	return &gitalypb.ServerInfoResponse_StorageStatus{StorageName: name, Readable: true, Writeable: writeable}
}

func TestDialNodes_succeeds(t *testing.T) {
	a := gitaly{storages: []*gitalypb.ServerInfoResponse_StorageStatus{status("gitaly-1", true)}}.serve(t)
	got := praefect(t, "", "-config", settings{nodes: []string{a}}.write(t), "dial-nodes", "-timeout", "1m")
	p := "[" + a + "]: "
	want := strings.Join([]string{
		p + "dialing...",
		p + "dialed successfully!",
		p + "checking health...",
		p + "SUCCESS: node is healthy!",
		p + "checking consistency...",
		p + `SUCCESS: confirmed Gitaly storage "gitaly-1" in virtual storages [default other] is served`,
		p + "SUCCESS: node configuration is consistent!",
		"",
	}, "\n")
	if got.code != 0 || got.stdout != want || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
}

func TestDialNodes_namesWhatIsWrong(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	away := "tcp://" + l.Addr().String()
	must(t, l.Close())
	readOnly := gitaly{storages: []*gitalypb.ServerInfoResponse_StorageStatus{status("gitaly-2", false)}}.serve(t)
	empty := gitaly{}.serve(t)
	got := praefect(t, "", "-config", settings{nodes: []string{away, readOnly, empty}}.write(t), "dial-nodes")

	want := "the following nodes are not healthy: " + strings.Join([]string{away, readOnly, empty}, ", ") + "\n"
	if got.code != 1 || got.stderr != want {
		t.Errorf("got %d %q, want %q", got.code, got.stderr, want)
	}
	lines := strings.Split(got.stdout, "\n")
	for prefix, part := range map[string]string{
		"[" + away + "]: ERROR: ":     "refused",
		"[" + readOnly + "]: ERROR: ": `storage "gitaly-2" is not readable and writeable (readable: true, writeable: false)`,
		"[" + empty + "]: ERROR: ":    `configured storage "gitaly-3" is not served`,
	} {
		if !slices.ContainsFunc(lines, func(line string) bool {
			return strings.HasPrefix(line, prefix) && strings.Contains(line, part)
		}) {
			t.Errorf("no line %q…%q in:\n%s", prefix, part, got.stdout)
		}
	}
}
