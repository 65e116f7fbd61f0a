package main

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"praefect/proxy/admin/admintest"
)

// The commands of the playbook are carried out as they stand, in their order, for one storage.
func TestPlaybook_commandsAreCarriedOut(t *testing.T) {
	text, err := os.ReadFile("../../deploy/ansible/reboot-storage.yml")
	must(t, err)
	i := &instance{t: t, Cluster: admintest.New(t, "gitaly-1", "gitaly-2", "gitaly-3")}
	env := map[string]string{"PRAEFECT_ENDPOINTS": i.socket(t)}
	names := strings.NewReplacer("{{ inventory_hostname }}", "gitaly-2", "{{ virtual_storage }}", "default")
	var plays []struct {
		Serial int
		Tasks  []struct {
			Name     string
			Command  struct{ Cmd string } `yaml:"ansible.builtin.command"`
			Delegate string               `yaml:"delegate_to"`
		}
	}
	if err := yaml.Unmarshal(text, &plays); err != nil || len(plays) != 1 || plays[0].Serial != 1 {
		t.Fatalf("got %+v, %v; want one play, one machine at a time", plays, err)
	}
	var states []string
	for _, task := range plays[0].Tasks {
		command, found := strings.CutPrefix(task.Command.Cmd, "praefectctl ")
		if !found {
			continue
		}
		if !strings.Contains(task.Delegate, "praefectctl_host") {
			t.Errorf("%s runs on the storage itself", task.Name)
		}
		got := praefectctl(t, env, strings.Fields(names.Replace(command))...)
		if got.code != 0 && got.code != exitDegraded {
			t.Errorf("%s: got %+v", command, got)
		}
		if strings.Contains(names.Replace(command), "{{") {
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
	praefectctl(t, env, "-o", "json", "can-i", "reboot", "gitaly-1").fails(t, exitRefused)
}
