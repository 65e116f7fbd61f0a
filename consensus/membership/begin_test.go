package membership

import (
	"reflect"
	"testing"

	"praefect/consensus/store"
)

func TestNextStep(t *testing.T) {
	who := func(name, id string) store.Founder { return store.Founder{Name: name, ID: id, Addr: name + ":1"} }
	a, b, c, emptied := who("a", "1"), who("b", "2"), who("c", "3"), who("c", "4")
	abc := []store.Founder{a, b, c}
	intro := func(f store.Founder, founders ...store.Founder) introduction {
		return introduction{Founder: f, List: "same", Founders: founders}
	}
	begun := func(i introduction) introduction { i.Begun = true; return i }
	of := func(cluster string, i introduction) introduction { i.Begun, i.Cluster = true, cluster; return i }
	for _, tt := range []struct {
		name    string
		own     introduction
		others  []introduction
		missing []string
		want    step
	}{
		{"one is missing", intro(a), []introduction{intro(b)}, []string{"c"}, stepWait},
		{"one is missing, one has state", intro(a), []introduction{begun(intro(b, abc...))}, []string{"c"}, stepJoin},
		{"all are empty", intro(a), []introduction{intro(c), intro(b)}, nil, stepKeep},
		{"only this one has kept it", intro(a, abc...), []introduction{intro(c), intro(b)}, nil, stepWait},
		{"one has not kept it", intro(a, abc...), []introduction{intro(c), intro(b, abc...)}, nil, stepWait},
		{"all have kept it", intro(a, abc...), []introduction{intro(c, abc...), intro(b, abc...)}, nil, stepBegin},
		{"one has begun", intro(a, abc...), []introduction{intro(c, abc...), begun(intro(b, abc...))}, nil, stepJoin},
		{"one was emptied meanwhile", intro(a, abc...), []introduction{intro(emptied), intro(b, abc...)}, nil, stepKeep},
		{"two are of one cluster", intro(a), []introduction{of("X", intro(b)), of("X", intro(c))}, nil, stepJoin},
		{"two are of different clusters", intro(a), []introduction{of("X", intro(b)), of("Y", intro(c))}, nil, stepWait},
		{"one does not know its cluster yet", intro(a), []introduction{of("X", intro(b)), of("", intro(c))}, nil, stepJoin},
		{"another list", intro(a), []introduction{{Founder: c, List: "other"}, intro(b)}, nil, stepWait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, founders, why := nextStep(tt.own, tt.others, tt.missing)
			if got != tt.want {
				t.Errorf("got %v (%s), want %v", got, why, tt.want)
			}
			if (got == stepWait || got == stepJoin) == (why == "") {
				t.Errorf("says %q", why)
			}
			if got == stepBegin && !reflect.DeepEqual(founders, abc) {
				t.Errorf("begins with %+v", founders)
			}
		})
	}
}
