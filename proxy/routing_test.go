package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/method"
	"praefect/proxy/stream"
	"praefect/proxy/transaction"
	"praefect/test/must"
)

// drive makes a call with the given messages and returns the answers.
func (w *fixture) drive(m method.Method, messages ...[]byte) (answers [][]byte, err error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	if m.ServerStreams {
		ctx = metadata.AppendToOutgoingContext(ctx, "answers", "2")
	}
	call, err := w.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, m.FullName,
		append(slices.Clone(w.options), grpc.ForceCodecV2(stream.Codec{}))...)
	if err != nil {
		return nil, err
	}
	for _, msg := range messages {
		if err := call.SendMsg(stream.NewFrame(mem.BufferSlice{mem.SliceBuffer(msg)})); err != nil {
			break // the answer says why
		}
	}
	if err := call.CloseSend(); err != nil {
		return nil, err
	}
	frame := new(stream.Frame)
	for {
		err := call.RecvMsg(frame)
		if err == io.EOF {
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		answers = append(answers, frame.Data().Materialize())
		frame.Free()
	}
}

// beyond is what else must be in the first message of the methods that do not vote on
// everything.
var beyond = map[string][]byte{
	gitalypb.RepositoryService_WriteRef_FullMethodName:  {0x1a, 1, 'm'},          // the new value
	gitalypb.RefService_UpdateReferences_FullMethodName: {0x12, 3, 0x1a, 1, 'm'}, // likewise, of one update
}

// names is what a call about the repository names: as a method may need, a path of
// a pool, a second repository, or only the virtual storage.
func names(m method.Method, path string) method.Request {
	if m.Scope == method.ScopeStorage {
		return method.Request{Storage: "default"}
	}
	named := method.Request{Target: method.Repository{StorageName: "default", RelativePath: path}}
	if m.HasAdditional() {
		named.Additional = method.Repository{StorageName: "default", RelativePath: "second of " + path}
	}
	return named
}

// wantsStorages are the storages that a call is to arrive at: all of those, or one
// of them.
func wantsStorages(m method.Method) (storages []string, all bool) {
	every := []string{"gitaly-1", "gitaly-2", "gitaly-3"}
	inSync := []string{"gitaly-1", "gitaly-3"} // gitaly-2 is behind
	switch {
	case m.Scope == method.ScopeStorage:
		return every, false
	case m.Kind == method.Maintenance && !m.Prunes:
		return every, true
	case m.Kind == method.Mutator && !m.Votes, m.ForcePrimary:
		return inSync[:1], true
	case m.Kind == method.Accessor:
		return inSync, false
	}
	return inSync, true // maintenance that prunes, and writes that vote
}

// TestRouting_everyMethod drives every method of the table at storages that serve
// everything, and looks where it arrives and as what. It is what shows the routes
// of docs/compatibility.md.
func TestRouting_everyMethod(t *testing.T) {
	for name, options := range map[string][]grpc.CallOption{
		"plain":      nil,
		"compressed": {grpc.UseCompressor(gzip.Name)},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := method.New()
			must.Succeed(t, err)
			readers := routesEveryMethod(t, table, table.All(), options...)
			// The third is behind: only the few reads that name no repository may go there.
			if !readers["gitaly-1"] || !readers["gitaly-3"] {
				t.Errorf("reads went to %v, never to the others", readers)
			}
		})
	}
}

// routesEveryMethod drives the given methods of a table, and returns the storages that reads went to.
func routesEveryMethod(t *testing.T, table *method.Table, methods iter.Seq[method.Method], options ...grpc.CallOption) (readers map[string]bool) {
	t.Helper()
	e := &echo{}
	w := newFixtureOfMethods(t, e.backend, true, Config{}, table)
	w.options = options
	readers = make(map[string]bool)
	n := 0
	for m := range methods {
		n++
		switch {
		case m.Refusal != "" || m.Kind == method.Mutator && m.Scope == method.ScopeStorage:
			message := m.Rewrite(nil, names(m, "a.git")).Materialize()
			if _, err := w.drive(m, message); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), m.FullName) {
				t.Errorf("%s: got %v, want it refused", m.FullName, err)
			}
		case m.Kind == method.Intercepted:
			// Answered here or not at all, in no case by a storage; what these storages
			// say to what they are asked is of no account.
			if _, err := w.drive(m, nil); err != nil && status.Code(err) != codes.Unimplemented && m.FullName != signatureMethod {
				t.Errorf("%s: got %v", m.FullName, err)
			}
		default:
			w.routes(e, m, n, readers)
			continue
		}
		if got := slices.DeleteFunc(e.take(), ownQuestion); len(got) > 0 {
			t.Errorf("%s: arrived at a storage: %+v", m.FullName, got)
		}
	}
	return readers
}

// ownQuestion tells whether the instance asks storages for this on its own account.
func ownQuestion(a arrival) bool { return a.method == signatureMethod }

// routes drives one method that is forwarded, on a repository of its own that
// gitaly-2 is behind on, or on its second one.
func (w *fixture) routes(e *echo, m method.Method, n int, readers map[string]bool) {
	w.t.Helper()
	path := fmt.Sprintf("%d.git", n)
	if m.FullName == gitalypb.ObjectPoolService_DeleteObjectPool_FullMethodName {
		path = "@pools/ab/12/" + poolDigest + ".git"
	}
	named := names(m, path)
	switch { // ▲ TestRouting_everyMethod: where there are two, a storage that is behind on either gets nothing
	case m.HasAdditional():
		w.missAt(named.Additional.RelativePath, "gitaly-1", "gitaly-3")
	case m.Scope == method.ScopeRepository:
		w.missAt(path, "gitaly-1", "gitaly-3")
	}
	messages := [][]byte{append(m.Rewrite(nil, named).Materialize(), beyond[m.FullName]...)}
	answers := [][]byte{answerTo(m.FullName)}
	if m.ClientStreams {
		messages = append(messages, []byte{0xfa, 0x3f, 0x01, 'x'})
	}
	if m.ServerStreams {
		answers = append(answers, answerTo(m.FullName))
	}

	got, err := w.drive(m, messages...)
	if m.FullName == gitalypb.InternalGitaly_WalkRepos_FullMethodName && len(got) > len(answers) {
		got = got[:len(answers)] // behind them stands what a storage that is behind may lack
	}
	if err != nil || !slices.EqualFunc(got, answers, bytes.Equal) {
		w.t.Errorf("%s: answered %x, %v; want %x", m.FullName, got, err, answers)
		return
	}
	want, all := wantsStorages(m)
	var at []string
	for _, a := range e.take() {
		if a.method != m.FullName {
			continue
		}
		at = append(at, a.storage)
		w.arrivedAs(m, a, named, messages)
		if m.Kind == method.Accessor {
			readers[a.storage] = true
		}
	}
	slices.Sort(at)
	if all && !slices.Equal(at, want) || !all && (len(at) != 1 || !slices.Contains(want, at[0])) {
		w.t.Errorf("%s: arrived at %q, want %q (all: %t)", m.FullName, at, want, all)
	}
	comesOrGoes := m.Change == method.ChangeCreate || m.Change == method.ChangeDelete
	if told := slices.Contains(w.told(), keyOf(path)); told != comesOrGoes {
		w.t.Errorf("%s: told that the repository may have come or gone: %t, want %t", m.FullName, told, comesOrGoes)
	}
	if m.Kind == method.Mutator {
		// Nobody has voted: only the primary has it for certain.
		entry := w.node.View().Entry(keyOf(path))
		// A method that votes has shown no effect anywhere, so gitaly-3 is where it was.
		if !entry.IsBehind("gitaly-2") || entry.IsBehind("gitaly-3") == m.Votes || entry.IsBehind("gitaly-1") || entry.Deleted != (m.Change == method.ChangeDelete) {
			w.t.Errorf("%s: ledger has %+v", m.FullName, entry)
		}
	}
}

// told are the repositories that may have come or gone, as far as the instance has
// said so.
func (w *fixture) told() []state.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.touched)
}

// arrivedAs compares what a storage got with what the client sent: the same but
// for the name of the storage, and for a transaction where there is one to vote in.
func (w *fixture) arrivedAs(m method.Method, a arrival, named method.Request, sent [][]byte) {
	w.t.Helper()
	want := named
	if m.Scope == method.ScopeStorage {
		want.Storage = a.storage
	} else {
		want.Target.StorageName = a.storage
	}
	if m.HasAdditional() {
		want.Additional.StorageName = a.storage
	}
	if len(a.messages) != len(sent) {
		w.t.Errorf("%s: %d messages arrived, want %d", m.FullName, len(a.messages), len(sent))
		return
	}
	got, err := m.Read(mem.BufferSlice{mem.SliceBuffer(a.messages[0])})
	if err != nil || got != want {
		w.t.Errorf("%s: arrived as %+v, %v; want %+v", m.FullName, got, err, want)
	}
	if !bytes.Contains(a.messages[0], sent[0]) { // a time may stand before it
		w.t.Errorf("%s: the first message arrived as %x, sent %x", m.FullName, a.messages[0], sent[0])
	}
	for i, msg := range sent[1:] {
		if !bytes.Equal(a.messages[i+1], msg) {
			w.t.Errorf("%s: message %d arrived as %x, sent %x", m.FullName, i+2, a.messages[i+1], msg)
		}
	}
	if votes := len(a.header.Get(transaction.Header)) > 0; votes != m.Votes {
		w.t.Errorf("%s: arrived with a transaction: %t, want %t", m.FullName, votes, m.Votes)
	}
}
