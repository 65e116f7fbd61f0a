package admin

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

// FuzzRequest: whatever a client sends as a request is read or refused, and what was read is the
// same when it is sent on to the leader.
func FuzzRequest(f *testing.F) {
	add := func(m proto.Message) {
		text, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	change := Change{RequestID: "1", By: "alice@desk", Why: "kernel"}
	add(rpcPause.Request().Write(PauseRequest{Change: change, VirtualStorage: "default", ForMillis: 1}))
	add(rpcPromote.Request().Write(switchCall{Request: &SwitchRequest{Change: change, Storage: "gitaly-2", Force: true}}))
	add(rpcPromote.Request().Write(switchCall{Cancel: true}))
	f.Add([]byte{0x0a, 0x01, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzed(t, rpcPause, b)
		fuzzed(t, rpcPromote, b)
		fuzzed(t, rpcDataloss, b)
		fuzzed(t, rpcShareConditions, b)
	})
}

func fuzzed[Request, Response any](t *testing.T, r rpc[Request, Response], b []byte) {
	t.Helper()
	m, _, err := r.receive(func(in any) error { return proto.Unmarshal(b, in.(proto.Message)) })
	if err != nil {
		return
	}
	request := r.Request().Read(m)
	out, _, err := r.write(request)
	if err != nil {
		t.Fatalf("%+v cannot be sent on: %v", request, err)
	}
	again, _, err := r.receive(func(in any) error {
		proto.Merge(in.(proto.Message), out)
		return nil
	})
	if err != nil || !cmp.Equal(r.Request().Read(again), request) {
		t.Errorf("got %+v (%v), want %+v", again, err, request)
	}
}
