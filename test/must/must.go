// Package must owns the end of a test at an error that it does not test for. It promises that the
// test stops at once, at the line of the caller. All tests may call it.
package must

// TB is the part of a testing.TB that a check of properties offers too.
type TB interface {
	Helper()
	Fatal(args ...any)
}

// Succeed ends the test if there is an error.
func Succeed(t TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
