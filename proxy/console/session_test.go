package console

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	valid = Tokens{Read: []string{"read", "former"}, Act: "act"}
)

func TestSessions_endByThemselves(t *testing.T) {
	for _, row := range []struct {
		name  string
		uses  []time.Duration // after noon
		valid Tokens
		at    time.Duration
		acts  bool
		token string
		want  bool
	}{
		{name: "fresh", valid: valid, token: "read", want: true},
		{name: "idle for less than an hour", at: sessionIdle - 1, valid: valid, token: "read", want: true},
		{name: "idle for an hour", at: sessionIdle, valid: valid, token: "read"},
		{name: "used in between", uses: []time.Duration{50 * time.Minute}, at: 100 * time.Minute, valid: valid, token: "read", want: true},
		{name: "the former token is still valid", valid: valid, token: "former", want: true},
		{name: "the token was replaced", valid: Tokens{Read: []string{"new"}, Act: "act"}, token: "read"},
		{name: "the admin token was replaced", valid: Tokens{Read: []string{"read"}, Act: "new"}, acts: true, token: "act"},
		{name: "the admin token was removed", valid: Tokens{Read: []string{"read"}}, acts: true, token: "act"},
		{name: "an acting session lives by the admin token alone", valid: Tokens{Act: "act"}, acts: true, token: "act", want: true},
		{name: "no token is no token", valid: Tokens{Read: []string{""}}, token: ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSessions()
			cookie, _, ok := s.begin(noon, "", row.acts, row.token)
			if !ok {
				t.Fatal("no session")
			}
			for _, use := range row.uses {
				s.find(noon.Add(use), cookie, valid)
			}
			if got := s.find(noon.Add(row.at), cookie, row.valid) != nil; got != row.want {
				t.Errorf("there is a session: %v, want %v", got, row.want)
			}
		})
	}
}

func TestSessions_liveForADay(t *testing.T) {
	s := newSessions()
	cookie, _, _ := s.begin(noon, "", false, "read")
	for at := time.Duration(0); at < sessionLife; at += sessionIdle / 2 {
		if s.find(noon.Add(at), cookie, valid) == nil {
			t.Fatalf("ended after %v, though it was used", at)
		}
	}
	if s.find(noon.Add(sessionLife), cookie, valid) != nil {
		t.Errorf("it lives on after %v", sessionLife)
	}
}

func TestSessions_readersNeverReplaceOperators(t *testing.T) {
	s := newSessions()
	operator, _, _ := s.begin(noon, "", true, "act")
	var first string
	for i := range 3 * maxSessions {
		cookie, _, ok := s.begin(noon.Add(time.Duration(i+1)*time.Second), "", false, "read")
		if !ok {
			t.Fatal("no session for a reader")
		}
		if i == 0 {
			first = cookie
		}
	}
	later := noon.Add(10 * time.Minute)
	if len(s.all) != maxSessions {
		t.Errorf("%d sessions, want %d", len(s.all), maxSessions)
	}
	if s.find(later, operator, valid) == nil {
		t.Error("readers ended the session of an operator")
	}
	if s.find(later, first, valid) != nil {
		t.Error("the oldest session of a reader is still there")
	}
	for range maxSessions {
		s.begin(later, "", true, "act")
	}
	if _, _, ok := s.begin(later, "", false, "read"); ok {
		t.Error("a reader replaced an operator")
	}
	if _, _, ok := s.begin(later, "", true, "act"); !ok {
		t.Error("an operator finds no place")
	}
}

func TestSessions_streamsAreBounded(t *testing.T) {
	s := newSessions()
	_, of, _ := s.begin(noon, "", false, "read")
	for range streamsOfOne {
		if !s.openStream(of) {
			t.Fatal("refused too early")
		}
	}
	if s.openStream(of) {
		t.Error("one stream too many")
	}
	s.closeStream(of)
	if !s.openStream(of) {
		t.Error("a closed stream still counts")
	}
}

func TestAttempts_areBounded(t *testing.T) {
	a := newAttempts()
	bad, good := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range attemptsOfOne {
		if wait := a.begin(noon, bad); wait != 0 {
			t.Fatalf("refused too early, for %v", wait)
		}
	}
	if wait := a.begin(noon.Add(time.Second), bad); wait != attemptsWindow-time.Second {
		t.Errorf("wait %v, want %v", wait, attemptsWindow-time.Second)
	}
	if wait := a.begin(noon, good); wait != 0 {
		t.Errorf("another address has to wait %v", wait)
	}
	a.succeeded(good)
	if wait := a.begin(noon.Add(attemptsWindow), bad); wait != 0 {
		t.Errorf("after the window it has to wait %v", wait)
	}
}

func TestAttempts_ofManyAddresses(t *testing.T) {
	a := newAttempts()
	refused := 0
	for i := range 4 * maxAddresses {
		from := netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x::1", i/256, i%256))
		if a.begin(noon, from) > 0 {
			refused++
		}
	}
	if want := 4*maxAddresses - attemptsOfAll; refused != want {
		t.Errorf("%d attempts were refused, want %d", refused, want)
	}
	if len(a.ofOne) > maxAddresses {
		t.Errorf("%d addresses are kept, want at most %d", len(a.ofOne), maxAddresses)
	}
	one := newAttempts()
	for i := range attemptsOfOne {
		one.begin(noon, netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)))
	}
	if one.begin(noon, netip.MustParseAddr("2001:db8::ffff")) == 0 {
		t.Error("one network has as many attempts as addresses")
	}
}

func TestKnownHost(t *testing.T) {
	names := []string{"praefect.example.com"}
	for host, want := range map[string]bool{
		"127.0.0.1:9653": true, "127.0.0.1": true, "[::1]:9653": true, "[::1]": true, "10.1.2.3:80": true, "localhost:9653": true, "LOCALHOST": true,
		"praefect.example.com:9653": true, "Praefect.Example.Com.": true,
		"evil.example.com:9653": false, "praefect.example.com.evil.net": false, "127.0.0.1.evil.net:9653": false, "": false, "localhost.evil.net": false,
	} {
		if got := knownHost(host, names); got != want {
			t.Errorf("knownHost(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestOrder_command(t *testing.T) {
	for _, row := range []struct {
		request changeRequest
		want    string
	}{
		{changeRequest{Verb: "promote", Storage: "gitaly-2", VirtualStorage: "default"}, "praefectctl promote gitaly-2 -virtual-storage default"},
		{changeRequest{Verb: "drain", Storage: "gitaly-2", Force: true, Why: "new kernel"}, "praefectctl drain gitaly-2 -force -why 'new kernel'"},
		{changeRequest{Verb: "pause", ForMillis: 900_000}, "praefectctl pause -for 15m0s"},
		{changeRequest{Verb: "transfer", Instance: "praefect-2"}, "praefectctl raft transfer praefect-2"},
		{changeRequest{Verb: "queue-retry", VirtualStorage: "default"}, "praefectctl queue retry -virtual-storage default"},
		{changeRequest{Verb: "queue-drop"}, "praefectctl queue drop -state dead"},
		{changeRequest{Verb: "verify-all"}, "praefectctl verify -all"},
		{changeRequest{Verb: "verify-all", VirtualStorage: "default"}, "praefectctl verify -all -virtual-storage default"},
		{changeRequest{Verb: "reconcile", VirtualStorage: "default", Why: "Postgres is back"}, "praefectctl reconcile -virtual-storage default -why 'Postgres is back'"},
		{changeRequest{Verb: "verify", VirtualStorage: "default", RelativePath: "@hashed/ab/cd.git"}, "praefectctl verify -virtual-storage default @hashed/ab/cd.git"},
		{changeRequest{Verb: "accept-dataloss", VirtualStorage: "default", RelativePath: "it's; rm -rf $HOME.git", Storage: "gitaly-1"},
			`praefectctl accept-dataloss -virtual-storage default -repository 'it'\''s; rm -rf $HOME.git' -authoritative-storage gitaly-1`},
		{changeRequest{Verb: "accept-dataloss", VirtualStorage: "default", RelativePath: "-x.git", Storage: "gitaly-1"},
			"praefectctl accept-dataloss -virtual-storage default -repository=-x.git -authoritative-storage gitaly-1"},
	} {
		if got := row.request.command(); got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
}
