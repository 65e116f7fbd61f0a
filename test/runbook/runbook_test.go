package runbook

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		blocks map[string][]string
		fault  bool
	}{
		"two blocks": {
			text:   "# A\n```sh one\ncp a b\n\n# a remark\npraefectctl tls init \\\n  -dir x\n```\nand\n```sh two\ntrue\n```\n",
			blocks: map[string][]string{"one": {"cp a b", "praefectctl tls init    -dir x"}, "two": {"true"}},
		},
		"another language": {text: "```toml\na = 1\n```\n```sh one\ntrue\n```\n", blocks: map[string][]string{"one": {"true"}}},
		"no name":          {text: "```sh\ntrue\n```\n", fault: true},
		"no end":           {text: "```sh one\ntrue\n", fault: true},
		"one name twice":   {text: "```sh one\ntrue\n```\n```sh one\nfalse\n```\n", fault: true},
		"no block":         {text: "# A\n", fault: true},
	} {
		t.Run(name, func(t *testing.T) {
			blocks, fault := parse(c.text)
			if (fault != "") != c.fault || !c.fault && !reflect.DeepEqual(blocks, c.blocks) {
				t.Errorf("got %q, %q", blocks, fault)
			}
		})
	}
}
