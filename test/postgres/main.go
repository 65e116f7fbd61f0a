package postgres

import (
	"context"
	"fmt"
	"os"
)

// Main is for a TestMain whose tests share one server, each in a database of its own: it launches the server, stores it
// where shared points, runs the tests and removes the server. It returns the code to exit with; a machine on which no
// server can be launched is a failure, never a skip.
func Main(m interface{ Run() int }, shared **Server, options Options) (code int) {
	server, err := Launch(context.Background(), options)
	if err != nil {
		fmt.Fprintf(os.Stderr, "the tests need a PostgreSQL server: %v\n", err)
		return 1
	}
	defer func() {
		if err := server.Close(); err != nil {
			fmt.Fprintf(os.Stderr, "remove the tests' PostgreSQL server: %v\n", err)
			code = 1
		}
	}()
	*shared = server
	return m.Run()
}
