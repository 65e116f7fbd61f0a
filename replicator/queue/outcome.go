package queue

import (
	"fmt"
	"time"
)

// OutcomeKind says how an attempt ended.
type OutcomeKind int

// The kinds of outcome. The zero kind is none: an attempt cannot end by forgetting to say how.
const (
	_ OutcomeKind = iota
	OutcomeCompleted
	OutcomePostponed
	OutcomeFailed
	OutcomeDead
)

// Outcome is the end of an attempt and the next step. It is made by Complete, Postpone, Fail or
// Bury.
type Outcome struct {
	kind  OutcomeKind
	delay time.Duration
	cause string
	waits string
}

// Complete removes the job, or makes it ready and due when it was enqueued again during the attempt.
func Complete() Outcome { return Outcome{kind: OutcomeCompleted} }

// Postpone makes the job due again after a delay and counts no failure: nothing could be done now, through no fault of
// the repository.
func Postpone(delay time.Duration) Outcome {
	return Outcome{kind: OutcomePostponed, delay: max(delay, 0)}
}

// Fail makes the job due again after a delay, which the caller chooses to grow and to vary, and counts a failure.
func Fail(delay time.Duration, cause error) Outcome {
	return Outcome{kind: OutcomeFailed, delay: max(delay, 0), cause: causeText(cause)}
}

// Bury gives the job up: it stays visible, dead, until its repository changes or Retry brings it back. A job that was
// enqueued again during the attempt is not dead but failed, and due after the delay.
func Bury(delay time.Duration, cause error) Outcome {
	return Outcome{kind: OutcomeDead, delay: max(delay, 0), cause: causeText(cause)}
}

// WaitingFor returns the outcome with the reason for which the job waits, for display.
func (o Outcome) WaitingFor(reason string) Outcome {
	o.waits = CleanText(reason)
	return o
}

// Waits is the reason for which the job waits, empty if it waits only for its time.
func (o Outcome) Waits() string { return o.waits }

// Kind says how the attempt ended.
func (o Outcome) Kind() OutcomeKind { return o.kind }

// Delay is how long the job waits now.
func (o Outcome) Delay() time.Duration { return o.delay }

// Cause is why the attempt failed, as text that any implementation can store.
func (o Outcome) Cause() string { return o.cause }

// Valid returns an error that matches ErrInvalid for the zero Outcome.
func (o Outcome) Valid() error {
	if o.kind == 0 {
		return fmt.Errorf("%w: an outcome that says nothing", ErrInvalid)
	}
	return nil
}

func causeText(cause error) string {
	if cause == nil {
		return ""
	}
	return CleanText(cause.Error())
}
