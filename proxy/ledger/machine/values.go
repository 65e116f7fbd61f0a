package machine

import (
	"praefect/fsm/repair"
	"praefect/fsm/routing"
)

// The values that the machine exchanges with the session and with repairs; see the packages.
type (
	// Lease allows this instance to route.
	Lease = routing.Lease
	// WritePause advises to keep the new writes of a virtual storage waiting.
	WritePause = routing.WritePause
	// WritePauseReport tells how far a pause is.
	WritePauseReport = routing.WritePauseReport
	// Resolution is the finding of a repair about in-doubt intents.
	Resolution = repair.Resolution
	// Ending is the finding of a repair when an advance was over.
	Ending = repair.Ending
)

// The errors of the repair lock; see package repair.
var (
	ErrRepositoryBusy = repair.ErrRepositoryBusy
	ErrInvalidated    = repair.ErrInvalidated
)
