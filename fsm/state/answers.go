package state

import (
	"encoding/binary"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// AnswersKept is how many of the latest batches have their answers remembered,
// so that a proposer that repeats one learns its outcome.
const AnswersKept = 1024

// answers remembers the answers to the latest batches. It is immutable;
// the zero value remembers nothing.
type answers struct {
	// byID and byIndex hold the same answers, by request id and by index.
	byID, byIndex *iradix.Tree[*answer]
}

// answer is the answer to one batch.
type answer struct {
	RequestID string   `json:"id"`
	Index     Index    `json:"index"`
	Results   []Result `json:"results"`
}

// find returns the answer to the request, or nil.
func (a answers) find(requestID string) *answer {
	if a.byID == nil {
		return nil
	}
	found, _ := a.byID.Get([]byte(requestID))
	return found
}

// add remembers one more answer and forgets the oldest beyond AnswersKept.
func (a answers) add(added *answer) answers {
	if a.byID == nil {
		a = answers{byID: iradix.New[*answer](), byIndex: iradix.New[*answer]()}
	}
	byID, byIndex := a.byID.Txn(), a.byIndex.Txn()
	byID.Insert([]byte(added.RequestID), added)
	byIndex.Insert(indexKey(added.Index), added)
	if a.len() >= AnswersKept {
		key, oldest, _ := byIndex.Root().Minimum()
		byIndex.Delete(key)
		byID.Delete([]byte(oldest.RequestID))
	}
	return answers{byID: byID.Commit(), byIndex: byIndex.Commit()}
}

// len returns how many answers are remembered.
func (a answers) len() int {
	if a.byIndex == nil {
		return 0
	}
	return a.byIndex.Len()
}

// last returns the index of the latest answer, 0 without one.
func (a answers) last() Index {
	if a.byIndex == nil {
		return 0
	}
	if _, latest, ok := a.byIndex.Root().Maximum(); ok {
		return latest.Index
	}
	return 0
}

// each calls fn for every answer, oldest first, until fn returns false.
func (a answers) each(fn func(*answer) bool) {
	if a.byIndex == nil {
		return
	}
	a.byIndex.Root().Walk(func(_ []byte, found *answer) bool { return !fn(found) })
}

// indexKey sorts as the indices do.
func indexKey(i Index) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(i))
}
