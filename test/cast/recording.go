package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// recording is the output of a command: lines, each with its time.
type recording struct{ lines []line }

type line struct {
	at   time.Duration // since the begin; it never falls
	text string
}

// header is the first line of a recording, as asciinema has it.
type header struct {
	Version int `json:"version"`
	Width   int `json:"width"`
	Height  int `json:"height"`
}

// The size of the picture, in characters; longer lines are cut.
const (
	width  = 118
	height = 30
)

// write writes the recording: a header, then an array [seconds, "o", text] for each line.
func (r recording) write(out io.Writer) error {
	to := json.NewEncoder(out)
	to.SetEscapeHTML(false)
	err := to.Encode(header{2, width, height})
	for _, l := range r.lines {
		err = errors.Join(err, to.Encode([]any{l.at.Round(10 * time.Millisecond).Seconds(), "o", l.text + "\r\n"}))
	}
	if err != nil {
		return fmt.Errorf("write the recording: %w", err)
	}
	return nil
}

// read reads a recording.
func read(in io.Reader) (recording, error) {
	var r recording
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		if n == 1 {
			var h header
			if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Version != 2 {
				return r, fmt.Errorf("line 1 is no header of version 2 of asciinema's format: %q", lines.Text())
			}
			continue
		}
		var event []any
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil || len(event) != 3 {
			return r, fmt.Errorf("line %d is no event [seconds, \"o\", text]: %q", n, lines.Text())
		}
		at, isTime := event[0].(float64)
		text, isText := event[2].(string)
		if !isTime || !isText || event[1] != "o" {
			return r, fmt.Errorf("line %d is no event [seconds, \"o\", text]: %q", n, lines.Text())
		}
		r.lines = append(r.lines, line{time.Duration(at * float64(time.Second)), fitting(strings.TrimRight(text, "\r\n"))})
	}
	if err := lines.Err(); err != nil {
		return r, fmt.Errorf("read the recording: %w", err)
	}
	if len(r.lines) == 0 {
		return r, errors.New("the recording has no line of output")
	}
	return r, nil
}

// fitting cuts a line to the width of the picture.
func fitting(text string) string {
	text = strings.ReplaceAll(text, "\t", "    ")
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
