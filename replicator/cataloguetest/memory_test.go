package cataloguetest

import "testing"

func TestMemory(t *testing.T) {
	Exercise(t, NewMemory())
	ExerciseVerifications(t, NewMemory())
}
