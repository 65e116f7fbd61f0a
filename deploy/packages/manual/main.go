// Command manual writes the manual page of a program from the help text of the program and of each
// command: manual build/praefectctl > praefectctl.1. It promises that the page names every command
// and option, because no part of it is written by hand. Building the packages runs it.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "manual PROGRAM")
		os.Exit(2)
	}
	program := os.Args[1]
	text, err := page(filepath.Base(program), func(command ...string) (string, error) {
		// Some programs keep stdout for data.
		out, err := exec.Command(program, append(command, "--help")...).CombinedOutput()
		return string(out), err
	})
	if err == nil {
		_, err = os.Stdout.WriteString(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}
