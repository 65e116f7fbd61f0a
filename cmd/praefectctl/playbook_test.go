package main

import (
	"os"
	"strings"
	"testing"

	"praefect/proxy/admin/admintest"
)

// The commands of the playbook are carried out as they stand, in their order, for one storage.
func TestPlaybook_commandsAreCarriedOut(t *testing.T) {
	text, err := os.ReadFile("../../deploy/ansible/reboot-storage.yml")
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, Cluster: admintest.New(t, "gitaly-1", "gitaly-2", "gitaly-3")}
	env := map[string]string{"PRAEFECT_ENDPOINTS": i.socket(t)}
	names := strings.NewReplacer("{{ inventory_hostname }}", "gitaly-2", "{{ virtual_storage }}", "default")
	var states []string
	for line := range strings.Lines(string(text)) {
		command, found := strings.CutPrefix(strings.TrimSpace(line), "cmd: praefectctl ")
		if !found {
			continue
		}
		got := praefectctl(t, env, strings.Fields(names.Replace(command))...)
		if got.code != 0 && got.code != exitDegraded {
			t.Errorf("%s: got %+v", command, got)
		}
		if strings.Contains(command, "{{") != strings.Contains(names.Replace(command), "gitaly-2") && !strings.Contains(command, "status") {
			t.Errorf("%s has a name that this test does not know", command)
		}
		st := i.View().VirtualStorage("default").Storage("gitaly-2")
		states = append(states, string(st.State)+" "+st.Why)
	}
	if got := strings.Join(states, ", "); got != "serving , out drained, out dead, out dead" {
		t.Errorf("the storage became %s", got)
	}
	// What makes the playbook wait, and stop, is by exit code.
	i.Lose("gitaly-3")
	if got := praefectctl(t, env, "-o", "json", "can-i", "reboot", "gitaly-1"); got.code != exitRefused {
		t.Errorf("got %+v", got)
	}
}
