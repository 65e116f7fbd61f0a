// Package terminal makes text of others harmless on a terminal: a path or the error of a storage may
// hold escape sequences that move the cursor, hide lines or change the direction of writing. It
// promises that only printable characters are left, and that nothing is hidden: any other character
// appears as in a Go string, such as \x1b. The three programs use it for all output, and keep their
// own escape sequences out of it. ReadLine reads an answer from it.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line returns a text of one line: line breaks and tabs are escaped as well.
func Line(text string) string { return escape(text, "") }

// Text returns a text that may have several lines.
func Text(text string) string { return escape(text, "\n\t") }

// escape replaces each rune that is neither printable nor kept.
func escape(text, kept string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !fine(r, kept) }) {
		return text
	}
	var out strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&out, `\x%02x`, text[0]) // a strings.Builder returns no error
		case fine(r, kept):
			out.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[n:]
	}
	return out.String()
}

func fine(r rune, kept string) bool { return strconv.IsPrint(r) || strings.ContainsRune(kept, r) }

// JSON returns a JSON document in which strings hold no unprintable characters, and mean the
// same: encoding/json escapes only some of them.
func JSON(document []byte) []byte {
	if !bytes.ContainsFunc(document, func(r rune) bool { return !fine(r, "\n\t") }) {
		return document
	}
	var out []byte
	for len(document) > 0 {
		r, n := utf8.DecodeRune(document)
		switch {
		case fine(r, "\n\t"):
			out = append(out, document[:n]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		document = document[n:]
	}
	return out
}

// Writer passes on a stream of text, such as the output of a server's hooks, without its control
// characters; line breaks, carriage returns and tabs stay. It holds nothing back.
func Writer(w io.Writer) io.Writer { return &writer{w: w} }

type writer struct {
	w       io.Writer
	leading bool // the byte before was the first of a character that may be a control character
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p))
	for _, b := range p {
		second := w.leading && b >= 0x80 && b < 0xa0
		w.leading = b == 0xc2
		switch {
		case second, b < ' ' && b != '\n' && b != '\r' && b != '\t', b == 0x7f:
			out = fmt.Appendf(out, `\x%02x`, b)
		default:
			out = append(out, b)
		}
	}
	if _, err := w.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
