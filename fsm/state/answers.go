package state

import iradix "github.com/hashicorp/go-immutable-radix/v2"

// AnswersKept is how many of the latest batches have their answers remembered,
// so that a proposer that repeats one learns what became of it.
const AnswersKept = 1024

// answers remembers what the latest batches were answered. It is immutable.
type answers struct {
	// byID and byIndex hold the same answers, by request id and by index.
	byID, byIndex *iradix.Tree[*answer]
}

// answer is what one batch was answered.
type answer struct {
	RequestID string   `json:"id"`
	Index     Index    `json:"index"`
	Results   []Result `json:"results"`
}
