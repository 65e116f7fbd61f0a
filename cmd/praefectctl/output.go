package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/sys/unix"

	"praefect/cmd/terminal"
)

// utf8 tells whether the terminal is said to show more than ASCII.
func (p *program) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToUpper(p.getenv(name)); value != "" {
			return strings.Contains(value, "UTF-8") || strings.Contains(value, "UTF8")
		}
	}
	return false
}

// isTerminal tells whether f is one.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// size is the size of a terminal, zeroes if it does not tell.
func size(f *os.File) (width, height int) {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(ws.Col), int(ws.Row)
}

// output prints answers.
type output struct {
	w                      io.Writer
	format                 string // table, wide, json or yaml
	terminal, utf8, colour bool
	err                    error // the first of writing
}

// printf prints arguments so that none of them, even one that a client chose, reaches the terminal
// with control characters; the signs of mark are our own.
func (o *output) printf(format string, args ...any) {
	shown := make([]any, len(args))
	for i, arg := range args {
		shown[i] = arg
		if reflect.ValueOf(arg).Kind() == reflect.String {
			shown[i] = o.shown(fmt.Sprint(arg))
		}
	}
	o.print(fmt.Sprintf(format, shown...))
}

// shown is a text as it is printed.
func (o *output) shown(text string) string {
	for s := good; s <= bad; s++ {
		if text == o.mark(s) {
			return text
		}
	}
	return terminal.Line(text)
}

// print prints text that is fit to be seen.
func (o *output) print(text string) {
	if _, err := io.WriteString(o.w, text); err != nil && o.err == nil {
		o.err = fmt.Errorf("write to standard output: %w", err)
	}
}

// The values of -output.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"
)

// documents tells that answers are printed for programs.
func (o *output) documents() bool { return o.format == formatJSON || o.format == formatYAML }

// document prints an answer for programs.
func (o *output) document(answer any) error {
	text, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	text = append(terminal.JSON(text), '\n')
	if o.format == formatYAML {
		if text, err = yamlOf(text); err != nil {
			return err
		}
		text = append([]byte("---\n"), text...)
	}
	o.print(string(text))
	return nil
}

// table prints rows under a header. An empty column is left out: it has nothing
// to say today. A column whose name begins with "+" is for -output wide.
func (o *output) table(header []string, rows [][]string) {
	wide := make([]bool, len(header))
	header = slices.Clone(header)
	for i, name := range header {
		header[i], wide[i] = strings.CutPrefix(name, "+")
	}
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	t.AppendHeader(asRow(header))
	for _, row := range rows {
		t.AppendRow(asRow(each(row, o.shown)))
	}
	var columns []table.ColumnConfig
	for i := range header {
		empty := !slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "" })
		columns = append(columns, table.ColumnConfig{Number: i + 1, Hidden: empty || wide[i] && o.format != formatWide})
	}
	t.SetColumnConfigs(columns)
	o.print(t.Render() + "\n")
}

func asRow(cells []string) table.Row { return each(cells, func(cell string) any { return cell }) }

// each makes a list of what a function makes of each thing.
func each[From, To any](list []From, f func(From) To) []To {
	to := make([]To, len(list))
	for i, from := range list {
		to[i] = f(from)
	}
	return to
}

// sign is the first thing that is seen of a line. Its meaning is always told in words beside it.
type sign int

const (
	good sign = iota
	busy
	warning
	bad
)

// mark shows a sign as this output can.
func (o *output) mark(s sign) string {
	mark := [...]string{good: "*", busy: "~", warning: "!", bad: "x"}[s]
	if o.terminal && o.utf8 {
		mark = [...]string{good: "●", busy: "◐", warning: "▲", bad: "✗"}[s]
	}
	if !o.colour {
		return mark
	}
	number := [...]int{good: 32, busy: 36, warning: 33, bad: 31}[s]
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", number, mark)
}
