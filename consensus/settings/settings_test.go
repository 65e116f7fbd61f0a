package settings

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"praefect/fsm/condition"
)

func report(instance string, storages ...Storage) Report {
	return Report{Instance: instance, VirtualStorages: []VirtualStorage{{Name: "v", Storages: storages}}}.Seal()
}

func TestAgreed(t *testing.T) {
	at := func(name, address string, resolved ...string) Storage {
		return Storage{Name: name, Address: address, Resolved: resolved}
	}
	for _, row := range []struct {
		name    string
		reports []Report
		want    []string
	}{
		{name: "no report"},
		{"one instance", []Report{report("a", at("g2", "x"), at("g1", "y"))}, []string{"g2", "g1"}},
		{"in another order", []Report{report("a", at("g2", "x"), at("g1", "y")), report("b", at("g1", "y"), at("g2", "x"))}, []string{"g2", "g1"}},
		{"one more", []Report{report("a", at("g1", "x")), report("b", at("g1", "x"), at("g2", "y"))}, nil},
		{"another one", []Report{report("a", at("g1", "x")), report("b", at("g2", "x"))}, nil},
		{"not there", []Report{report("a", at("g1", "x")), {Instance: "b"}}, nil},
		{"at another place", []Report{report("a", at("g1", "x", "10.0.0.1:1")), report("b", at("g1", "y", "10.0.0.2:1"))}, nil},
		{"the same place under another name", []Report{report("a", at("g1", "x", "10.0.0.1:1")), report("b", at("g1", "y", "10.0.0.2:1", "10.0.0.1:1"))}, []string{"g1"}},
	} {
		if got, ok := Agreed(row.reports, "v"); ok != (row.want != nil) || !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q, %v, want %q", row.name, got, ok, row.want)
		}
	}
}

func TestDifferences(t *testing.T) {
	with := func(instance string, values ...Value) Report { return Report{Instance: instance, Values: values} }
	mode := func(v string) Value { return Value{Key: "consistency.mode", Value: v} }
	token := func(v string) Value { return Value{Key: "admin.token", Value: v, Hashed: true} }
	if got := Differences([]Report{with("a", mode("strong"), token("12")), with("b", mode("strong"), token("12"))}); len(got) > 0 {
		t.Errorf("of equal ones: %q", got)
	}
	got := Differences([]Report{with("a", mode("strong"), token("12")), with("b", mode("eventual"), token("34")), with("c", mode("strong"), token("12"))})
	want := []string{
		`the settings differ: admin.token is a value that is not shown at "a", "c", and another one at "b"`,
		`the settings differ: consistency.mode is strong at "a", "c", and eventual at "b"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDiffering(t *testing.T) {
	with := func(instance, mode, token string, storages ...Storage) Report {
		r := report(instance, storages...)
		r.Values = []Value{{Key: "consistency.mode", Value: mode}, {Key: "admin.token", Value: token, Hashed: true}}
		return r
	}
	g := func(name, address string) Storage { return Storage{Name: name, Address: address} }
	alike := with("a", "strong", "12", g("g1", "tcp://h:1"))
	if got := Differing([]Report{alike, with("b", "strong", "12", Storage{Name: "g1", Address: "tcp://h:1"})}); len(got) > 0 {
		t.Errorf("of equal ones: %+v", got)
	}
	resolved := func(address string) Storage {
		return Storage{Name: "g1", Address: address, Resolved: []string{"10.0.0.1:1"}}
	}
	if got := Differing([]Report{with("a", "strong", "12", resolved("tcp://h:1")), with("b", "strong", "12", resolved("tcp://10.0.0.1:1"))}); len(got) > 0 {
		t.Errorf("of one place under two names: %+v", got)
	}
	got := Differing([]Report{
		alike, with("b", "eventual", "34", g("g1", "tcp://h:2"), g("g2", "tcp://h:3")), {Instance: "c", Values: []Value{{Key: "consistency.mode", Value: "strong"}}},
	})
	want := []condition.Setting{
		{Key: "admin.token", Values: []condition.SettingValue{{Secret: true, Instances: []string{"a"}}, {Secret: true, Instances: []string{"b"}}, {Absent: true, Instances: []string{"c"}}}},
		{Key: "consistency.mode", Values: []condition.SettingValue{{Value: "strong", Instances: []string{"a", "c"}}, {Value: "eventual", Instances: []string{"b"}}}},
		{Key: "virtual_storage.v.node.g1.address", Values: []condition.SettingValue{
			{Value: "tcp://h:1", Instances: []string{"a"}}, {Value: "tcp://h:2", Instances: []string{"b"}}, {Absent: true, Instances: []string{"c"}}}},
		{Key: "virtual_storage.v.node.g2.address", Values: []condition.SettingValue{{Absent: true, Instances: []string{"a", "c"}}, {Value: "tcp://h:3", Instances: []string{"b"}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, row := range []struct {
		virtualStorage, storage string
		from, to                int
	}{{"", "", 0, 2}, {"v", "", 2, 4}, {"v", "g1", 2, 3}, {"v", "g", 0, 0}, {"other", "g1", 0, 0}} {
		if diff := cmp.Diff(want[row.from:row.to], Of(got, row.virtualStorage, row.storage)); diff != "" {
			t.Errorf("of %q %q (-want +got)\n%s", row.virtualStorage, row.storage, diff)
		}
	}
}

func TestReport_Seal(t *testing.T) {
	a, b := report("a", Storage{Name: "g1"}), report("a", Storage{Name: "g1"})
	if a.Digest == "" || a.Digest != b.Digest || a.Seal().Digest != a.Digest {
		t.Errorf("got %q and %q", a.Digest, b.Digest)
	}
	if c := report("a", Storage{Name: "g2"}); c.Digest == a.Digest {
		t.Error("another report has the same digest")
	}
}
