package plan

import (
	"strings"

	"google.golang.org/grpc/codes"
)

// Failure is the meaning of the error of a copy for the target's replica.
type Failure int

const (
	// FailureElsewhere: the connection, the time or the source is the matter.
	FailureElsewhere Failure = iota
	// FailureOfReplica: the replica may be the thing that keeps the copy from succeeding.
	FailureOfReplica
	// FailureBroken: the replica itself is broken, and no copy onto it will succeed.
	FailureBroken
)

// brokenTexts are the messages of git about a replica whose objects are gone or damaged. A pool
// from which the replica borrowed may have been removed, for example.
var brokenTexts = []string{
	"unable to normalize alternate object path",
	"check .git/objects/info/alternates",
	"does not point to a valid object",
	"bad object refs/",
	" is corrupt",
	" is empty\nfatal: loose object",
}

// Judge tells the meaning of an error of the target for its replica: text is the error's.
func Judge(code codes.Code, text string) Failure {
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.FailedPrecondition:
	default:
		return FailureElsewhere
	}
	for _, known := range brokenTexts {
		if strings.Contains(text, known) {
			return FailureBroken
		}
	}
	return FailureOfReplica
}
