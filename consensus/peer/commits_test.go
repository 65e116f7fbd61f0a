package peer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"praefect/test/must"
)

func TestCommit_after(t *testing.T) {
	header := raft.RPCHeader{ProtocolVersion: 3, ID: []byte("leader")}
	empty := &raft.AppendEntriesRequest{RPCHeader: header, Term: 7, PrevLogEntry: 40, PrevLogTerm: 6, LeaderCommitIndex: 39}
	entries := &raft.AppendEntriesRequest{
		RPCHeader: header, Term: 7, PrevLogEntry: 40, PrevLogTerm: 6, LeaderCommitIndex: 40,
		Entries: []*raft.Log{{Index: 41, Term: 7}, {Index: 42, Term: 7}},
	}
	told := func(sent, term, index uint64) *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{RPCHeader: header, Term: 7, PrevLogEntry: sent, PrevLogTerm: term, LeaderCommitIndex: index}
	}
	for name, test := range map[string]struct {
		c    commit
		last *raft.AppendEntriesRequest
		want *raft.AppendEntriesRequest
	}{
		"before the first request":             {commit{index: 42, term: 7}, nil, nil},
		"the entries that were sent":           {commit{index: 42, term: 7}, entries, told(42, 7, 42)},
		"some of them":                         {commit{index: 41, term: 7}, entries, told(42, 7, 41)},
		"more than was sent":                   {commit{index: 50, term: 7}, entries, told(42, 7, 42)},
		"the last request had none":            {commit{index: 40, term: 7}, empty, told(40, 6, 40)},
		"more than was sent, without any":      {commit{index: 50, term: 7}, empty, told(40, 6, 40)},
		"the follower was told":                {commit{index: 40, term: 7}, entries, nil},
		"less than the follower was told":      {commit{index: 3, term: 7}, entries, nil},
		"this instance is in a later term":     {commit{index: 42, term: 8}, entries, nil},
		"the pipeline is of a later term":      {commit{index: 42, term: 6}, entries, nil},
		"nothing was committed that was known": {commit{}, entries, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.c.after(test.last)); diff != "" {
				t.Errorf("the message differs (-want +got):\n%s", diff)
			}
		})
	}
}

// recording is a pipeline that notes what is sent.
type recording struct {
	raft.AppendPipeline
	sent    chan *raft.AppendEntriesRequest
	answers chan raft.AppendFuture
}

func (r *recording) AppendEntries(args *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	r.sent <- args
	return nil, nil
}
func (r *recording) Consumer() <-chan raft.AppendFuture { return r.answers }
func (r *recording) Close() error                       { return nil }

func TestPipeline_tellsOfACommitOnce(t *testing.T) {
	r := &recording{sent: make(chan *raft.AppendEntriesRequest, 10), answers: make(chan raft.AppendFuture)}
	c := newCommits()
	p := newPipeline(r, c, nil)
	c.set(3, 7) // nothing was sent yet
	request := &raft.AppendEntriesRequest{Term: 7, PrevLogEntry: 4, PrevLogTerm: 6, LeaderCommitIndex: 4, Entries: []*raft.Log{{Index: 5, Term: 7}}}
	if _, err := p.AppendEntries(request, &raft.AppendEntriesResponse{}); err != nil {
		t.Fatal(err)
	}
	if got := next(t, r.sent); got != request {
		t.Fatalf("the first request was %+v, want the library's", got)
	}
	c.set(5, 7)
	if got := next(t, r.sent); got.LeaderCommitIndex != 5 || got.PrevLogEntry != 5 || got.PrevLogTerm != 7 || len(got.Entries) != 0 {
		t.Errorf("the follower was told %+v, want that entry 5 is committed", got)
	}
	c.set(5, 7)
	c.set(6, 8)
	must.Succeed(t, p.Close())
	close(r.sent)
	for request := range r.sent {
		t.Errorf("the follower was told more: %+v", request)
	}
}

// In calm the library's message about commits goes out only if it has news, or if the follower's answer
// is not known.
func TestPipeline_keepsAMessageWithoutNews(t *testing.T) {
	r := &recording{sent: make(chan *raft.AppendEntriesRequest, 10), answers: make(chan raft.AppendFuture)}
	var answer *raft.AppendEntriesResponse
	p := newPipeline(r, newCommits(), func(uint64) *raft.AppendEntriesResponse { return answer })
	defer p.Close()
	entry := []*raft.Log{{Index: 5, Term: 7}}
	for _, step := range []struct {
		what     string
		answer   *raft.AppendEntriesResponse
		request  raft.AppendEntriesRequest
		answered bool
	}{
		{"the first request", &raft.AppendEntriesResponse{Success: true}, raft.AppendEntriesRequest{Term: 7, PrevLogEntry: 4, PrevLogTerm: 7, Entries: entry}, false},
		{"a commit", &raft.AppendEntriesResponse{Success: true}, raft.AppendEntriesRequest{Term: 7, PrevLogEntry: 5, PrevLogTerm: 7, LeaderCommitIndex: 5}, false},
		{"no news", &raft.AppendEntriesResponse{Success: true, LastLog: 5}, raft.AppendEntriesRequest{Term: 7, PrevLogEntry: 5, PrevLogTerm: 7, LeaderCommitIndex: 5}, true},
		{"no answer", nil, raft.AppendEntriesRequest{Term: 7, PrevLogEntry: 5, PrevLogTerm: 7, LeaderCommitIndex: 5}, false},
		{"an entry", &raft.AppendEntriesResponse{Success: true}, raft.AppendEntriesRequest{Term: 7, PrevLogEntry: 5, PrevLogTerm: 7, LeaderCommitIndex: 5, Entries: entry}, false},
	} {
		answer = step.answer
		var response raft.AppendEntriesResponse
		if _, err := p.AppendEntries(&step.request, &response); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if step.answered != (len(r.sent) == 0) {
			t.Errorf("%s: %d messages went out", step.what, len(r.sent))
		}
		if step.answered {
			if got := <-p.Consumer(); !got.Response().Success || got.Response().LastLog != 5 || got.Request() != &step.request {
				t.Errorf("%s: the answer is %+v", step.what, got.Response())
			}
			continue
		}
		next(t, r.sent)
	}
}

func next(t *testing.T, sent <-chan *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	t.Helper()
	select {
	case request := <-sent:
		return request
	case <-time.After(time.Minute):
		t.Fatal("nothing was sent for a minute")
		return nil
	}
}

func TestPipeline_closesWhileAMessageWaits(t *testing.T) {
	b := &blocked{answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
	c := newCommits()
	p := newPipeline(b, c, nil)
	p.sending <- struct{}{}
	p.last = &raft.AppendEntriesRequest{Term: 7, PrevLogEntry: 5}
	<-p.sending
	c.set(5, 7) // the message waits in the pipeline, which takes none
	must.Succeed(t, p.Close())
}
