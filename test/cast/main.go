// Command cast makes a moving picture of a command's output: record writes its input to a
// recording with the time of each line, in the format of asciinema, and render turns a recording
// into an SVG that needs no script and no network. It promises that the same recording always
// gives the same picture. `make cast` renders the recording in docs/images, and `make cast-record`
// records the demo again; a test compares picture and recording.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, time.Now); err != nil {
		fmt.Fprintln(os.Stderr, "cast:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: cast record [OLD=NEW …] < OUTPUT > RECORDING, or cast render < RECORDING > SVG")

// run does one of the two. The pairs of record replace text of this machine, such as a path. Where two
// spaces follow, which is a column of a table, a shorter replacement is padded.
func run(args []string, in io.Reader, out io.Writer, now func() time.Time) error {
	switch {
	case len(args) > 0 && args[0] == "record":
		return record(args[1:], in, out, now)
	case len(args) == 1 && args[0] == "render":
		r, err := read(in)
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, render(r))
		if err != nil {
			return fmt.Errorf("write the picture: %w", err)
		}
		return nil
	}
	return errUsage
}

func record(pairs []string, in io.Reader, out io.Writer, now func() time.Time) error {
	var replaced []string
	for _, pair := range pairs {
		old, replacement, ok := strings.Cut(pair, "=")
		if !ok || old == "" {
			return fmt.Errorf("%q is not OLD=NEW: %w", pair, errUsage)
		}
		padding := strings.Repeat(" ", max(0, utf8.RuneCountInString(old)-utf8.RuneCountInString(replacement)))
		replaced = append(replaced, old+"  ", replacement+padding+"  ", old, replacement)
	}
	replacer := strings.NewReplacer(replaced...)
	r, begin := recording{}, now()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		r.lines = append(r.lines, line{at: now().Sub(begin), text: strings.TrimRight(replacer.Replace(lines.Text()), " ")})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the output to record: %w", err)
	}
	return r.write(out)
}
