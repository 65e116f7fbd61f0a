package main

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

func TestPause(t *testing.T) {
	i := newInstance(t)
	address := i.socket(t)
	alice := operator{env: map[string]string{"USER": "alice"}}
	for _, row := range []struct {
		args   []string
		stdout string
	}{
		{[]string{"pause", "--for", "30m", "--why", "new switch"}, "* automatic failover of default is paused until 2100-01-02T03:34:10Z; answered by praefect-1\n"},
		{[]string{"status"}, `* default: healthy, primary gitaly-1, epoch 2
   STORAGE   ROLE       STATE    REACHABLE  BEHIND
*  gitaly-1  primary    serving  yes        0
*  gitaly-2  secondary  serving  yes        0
~ failover-paused: automatic failover of default is paused until 2100-01-02T03:34:10Z; operator: pause (alice@desk): new switch
  run-book: docs/operations/conditions.md#failover-paused

healthy; leader praefect-1; feature level 1; answered by praefect-1
`},
		{[]string{"resume"}, "* automatic failover of default is on; answered by praefect-1\n"},
		{[]string{"pause", "-virtual-storage", "default"}, "* automatic failover of default is paused until resume; answered by praefect-1\n"},
		{[]string{"history", "-limit", "3"}, `TIME                  VIRTUAL STORAGE  EPOCH  CHANGE   WHY         BY
2100-01-02T03:04:10Z  default          2      paused   new switch  operator: pause (alice@desk): new switch
2100-01-02T03:04:11Z  default          2      resumed              operator: resume (alice@desk)
2100-01-02T03:04:12Z  default          2      paused               operator: pause (alice@desk)

changes: 3; answered by praefect-1
`},
	} {
		alice.run(t, append([]string{"-endpoints", address}, row.args...)...).is(t, outcome{0, row.stdout, ""})
	}
	alice.run(t, "-endpoints", address, "pause", "-for", "-1s").fails(t, exitUsage) // a pause of less than nothing
}

func TestHistory_json(t *testing.T) {
	i := newInstance(t)
	i.ctl("-o", "json", "history", "-limit", "1").is(t, outcome{0, `{
  "schema": 1,
  "instance": "praefect-1",
  "changes": [
    {
      "virtual_storage": "default",
      "index": 5,
      "epoch": 2,
      "time": "2100-01-02T03:04:09Z",
      "change": "serving",
      "storage": "gitaly-2",
      "why": "backfilled"
    }
  ]
}
`, ""})
}

func TestAcceptDataloss(t *testing.T) {
	flags := func(more ...string) []string {
		return append([]string{"accept-dataloss", "-virtual-storage", "default", "-repository", "a.git", "-authoritative-storage", "gitaly-2"}, more...)
	}
	const shown = `a.git in default: available no, behind: gitaly-2
  gitaly-2 misses acknowledged writes: THEY ARE LOST
  what the other storages have more than gitaly-2 is given up
`
	const asked = shown + "Type the storage's name to go on: \n"
	const accepted = "* gitaly-2 has the right replica of a.git; the others are repaired from it; answered by praefect-1\n"
	for _, row := range []struct {
		name  string
		types string
		args  []string
		want  outcome
	}{
		{"dry run", "", flags("-dry-run"), outcome{0, shown, ""}},
		{"nothing typed", "", flags(), outcome{5, "", asked + "praefectctl: not confirmed: nothing was changed\n"}},
		{"another name", "gitaly-1\n", flags(), outcome{5, "", asked + "praefectctl: not confirmed: nothing was changed\n"}},
		{"another name by flag", "", flags("-confirm", "yes"), outcome{5, "", shown + "praefectctl: not confirmed: nothing was changed\n"}},
		{"typed", "gitaly-2\n", flags(), outcome{0, accepted, asked}},
		{"by flag", "", flags("-confirm", "gitaly-2"), outcome{0, accepted, shown}},
	} {
		i := newInstance(t)
		i.WrittenOnlyTo("a.git", "gitaly-1")
		i.Lose("gitaly-1")
		got := operator{types: row.types}.run(t, append([]string{"-endpoints", i.serve(t)}, row.args...)...)
		if got != row.want {
			t.Errorf("%s: got %d\n%s%s", row.name, got.code, got.stdout, got.stderr)
		}
	}

	i := newInstance(t)
	praefectctl(t, nil, append([]string{"-endpoints", i.serve(t)}, flags("-confirm", "gitaly-2")...)...).fails(t, exitRefused, "nothing is lost") // a repository that is whole
	i.ctl("accept-dataloss").fails(t, exitUsage)                                                                                                  // no repository
}

func TestQueueRetry(t *testing.T) {
	i := withJobs(t)
	for _, row := range []struct {
		args []string
		want outcome
	}{
		{[]string{"-repository", "other.git"}, outcome{0, "* jobs made ready: 0; answered by praefect-1\n", ""}},
		{nil, outcome{0, "* jobs made ready: 2; answered by praefect-1\n", ""}},
	} {
		i.ctl(append([]string{"queue", "retry"}, row.args...)...).is(t, row.want)
	}
	i.SetJobs(nil, admintest.ErrQueue)
	i.ctl("queue", "retry").fails(t, exitUnavailable) // without Postgres
}

// TestProgram_whoMayChange goes through who has which token where.
func TestProgram_whoMayChange(t *testing.T) {
	right, wrong := writeFile(t, "secret\n"), writeFile(t, "another")
	const onSocketOnly, needed, another = "takes changes on its Unix socket (socket_path)", "changes need the admin token", "another admin token"
	for _, row := range []struct {
		name   string
		token  string // of the instance
		socket bool
		env    map[string]string
		args   []string
		want   string // "" is allowed
	}{
		{"a socket", "", true, nil, nil, ""},
		{"a socket with a token", "secret", true, nil, nil, needed},
		{"no token there", "", false, nil, nil, onSocketOnly},
		{"a token for none", "", false, nil, []string{"-admin-token-file", right}, onSocketOnly},
		{"no token here", "secret", false, nil, nil, needed},
		{"another token", "secret", false, nil, []string{"-admin-token-file", wrong}, another},
		{"the token", "secret", false, nil, []string{"-admin-token-file", right}, ""},
		{"the environment", "secret", false, map[string]string{"PRAEFECT_ADMIN_TOKEN_FILE": right}, nil, ""},
	} {
		i := newInstance(t)
		i.WrittenOnlyTo("a.git", "gitaly-1")
		access := admin.Access{Token: row.token}
		address := i.serveAs(t, "praefect-1", "tcp", "127.0.0.1:0", access)
		if row.socket {
			address = i.socketFor(t, access)
		}
		args := append([]string{"-endpoints", address}, row.args...)
		for _, change := range [][]string{
			{"promote", "gitaly-2"}, {"drain", "gitaly-1", "-y"}, {"undrain", "gitaly-1"}, {"pause"}, {"resume"},
			{"raft", "add", "praefect-4", "h:1"}, {"raft", "remove", "praefect-4"}, {"raft", "transfer", "praefect-1"},
			{"accept-dataloss", "-virtual-storage", "default", "-repository", "a.git", "-authoritative-storage", "gitaly-2", "-confirm", "gitaly-2"},
			{"queue", "retry"},
		} {
			before := i.View()
			got := operator{env: row.env}.run(t, append(args, change...)...)
			if row.want == "" {
				if got.code != 0 {
					t.Errorf("%s: %v: got %+v", row.name, change, got)
				}
			} else if got.code != exitError || !strings.Contains(got.stderr, row.want) || i.View() != before {
				t.Errorf("%s: %v: got %+v", row.name, change, got)
			}
		}
		for _, question := range [][]string{
			{"status"}, {"raft", "status"}, {"raft", "peers"}, {"history"}, {"dataloss"}, {"queue", "list"}, {"explain", "a.git"}, {"drain", "gitaly-2", "-dry-run"},
		} {
			if got := (operator{env: row.env}).run(t, append(args, question...)...); got.stderr != "" {
				t.Errorf("%s: %v: got %+v", row.name, question, got)
			}
		}
	}
}

// The settings of an instance have everything that its operator needs.
func TestProgram_changesByTheSettings(t *testing.T) {
	_, port, _ := net.SplitHostPort(newInstance(t).serveAs(t, "praefect-1", "tcp", "127.0.0.1:0", admin.Access{Token: "secret"}))
	settings := writeFile(t, fmt.Sprintf("listen_addr = \"127.0.0.1:%s\"\n[admin]\ntoken = \"secret\"\n[database]\nhost = \"/run\"\n"+
		"[[virtual_storage]]\nname = \"default\"\n[[virtual_storage.node]]\nstorage = \"s\"\naddress = \"tcp://h:1\"\n", port))
	praefectctl(t, nil, "-config", settings, "pause").ends(t, 0)
	praefectctl(t, nil, "-config", settings, "-admin-token-file", writeFile(t, "another"), "pause").fails(t, exitError, "another admin token") // a flag before the settings
}

// Where no admin token was given out, whoever can read the instance's data directory may change something.
func TestProgram_changesByTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	secret, err := admin.MakeLocalToken(dir)
	must(t, err)
	_, port, _ := net.SplitHostPort(newInstance(t).serveAs(t, "praefect-1", "tcp", "127.0.0.1:0", admin.Access{Local: secret}))
	settings := func(dir string) string {
		return writeFile(t, fmt.Sprintf("listen_addr = \"127.0.0.1:%s\"\n[raft]\ndata_dir = %q\n[database]\nhost = \"/run\"\n"+
			"[[virtual_storage]]\nname = \"default\"\n[[virtual_storage.node]]\nstorage = \"s\"\naddress = \"tcp://h:1\"\n", port, dir))
	}
	praefectctl(t, nil, "-config", settings(dir), "pause").ends(t, 0)
	praefectctl(t, nil, "-config", settings(t.TempDir()), "pause").fails(t, exitError, "raft.data_dir") // another data directory
}
