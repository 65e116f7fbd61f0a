package console

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKnown_next(t *testing.T) {
	at := func(s int) *time.Time { t := noon.Add(time.Duration(s) * time.Second); return &t }
	away := errors.New("connection refused")
	one, two := json.RawMessage(`1`), json.RawMessage(`2`)
	for _, row := range []struct {
		name   string
		before known
		data   json.RawMessage
		err    error
		want   known
	}{
		{"the first answer", known{}, one, nil, known{At: at(9), Data: one}},
		{"a newer one", known{At: at(1), Data: one}, two, nil, known{At: at(9), Data: two}},
		{"no answer at all", known{}, nil, away, known{Error: away.Error(), Since: at(9)}},
		{"no answer any more: the last one stays", known{At: at(1), Data: one}, nil, away, known{At: at(1), Data: one, Error: away.Error(), Since: at(9)}},
		{"still none: since when does not move", known{At: at(1), Data: one, Error: "timeout", Since: at(5)}, nil, away, known{At: at(1), Data: one, Error: away.Error(), Since: at(5)}},
		{"an answer again", known{At: at(1), Data: one, Error: "timeout", Since: at(5)}, two, nil, known{At: at(9), Data: two}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, row.before.next(*at(9), row.data, row.err)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestFeed_aPageThatTakesNothingHasTheNewestWaiting(t *testing.T) {
	f := newFeed(nil)
	w := f.watch()
	for i := range 1000 {
		text, _ := json.Marshal(i)
		f.publish("status", noon, text, nil)
		f.publish("raft", noon, text, nil)
	}
	taken := f.take(w)
	if len(taken) != 2 || string(taken["status"].Data) != "999" {
		t.Errorf("taken: %v, want the newest of two parts", taken)
	}
	if len(f.take(w)) != 0 {
		t.Error("it was sent twice")
	}
	f.publish("status", noon.Add(time.Second), json.RawMessage("999"), nil)
	if len(f.take(w)) != 0 {
		t.Error("what did not change was sent again")
	}
}

func TestFeed_watchersAreBounded(t *testing.T) {
	f := newFeed(nil)
	var last *watcher
	for range maxStreams {
		if last = f.watch(); last == nil {
			t.Fatal("refused too early")
		}
	}
	if f.watch() != nil {
		t.Error("one watcher too many")
	}
	f.leave(last)
	if f.watch() == nil {
		t.Error("one that has left still counts")
	}
}
