package config

import (
	"errors"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a configuration as written: values without meaning yet, and the
// places where they stand.
type document struct {
	// root holds strings, bools, int64s, float64s, []any and map[string]any,
	// besides TOML's dates.
	root map[string]any
	// at holds the place of each key, table and array element by pathID. The
	// zero position marks a value that did not come from the text.
	at map[string]position
}

// position is a place in the text; both parts count from 1.
type position struct{ line, column int }

// pathID makes a key path usable as a map key.
func pathID(path []string) string { return strings.Join(path, "\x00") }

// readDocument reads TOML. Its only error is a *SyntaxError.
func readDocument(text []byte) (*document, error) {
	root := map[string]any{}
	if err := toml.Unmarshal(text, &root); err != nil {
		syntax := &SyntaxError{Line: 1, Column: 1, Message: strings.TrimPrefix(err.Error(), "toml: ")}
		if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
			syntax.Line, syntax.Column = decode.Position()
		}
		return nil, syntax
	}
	return &document{root: root, at: locate(text)}, nil
}

// position returns where the key is, or the innermost table around it that the
// text has.
func (d *document) position(path []string) position {
	for n := len(path); n > 0; n-- {
		if at, ok := d.at[pathID(path[:n])]; ok {
			return at
		}
	}
	return position{}
}

// move gives everything at and below one path another one. The values
// themselves are moved by the caller.
func (d *document) move(from, to []string) {
	old, next := pathID(from), pathID(to)
	moved := map[string]position{}
	for id, at := range d.at {
		if id == old || strings.HasPrefix(id, old+"\x00") {
			delete(d.at, id)
			moved[next+id[len(old):]] = at
		}
	}
	maps.Copy(d.at, moved)
}

// merge lays other values over those of the text: tables key by key, every other value replaces the
// former one.
func (d *document) merge(over map[string]any) { d.mergeTable(nil, d.root, over) }

func (d *document) mergeTable(path []string, into, over map[string]any) {
	for key, value := range over {
		here := under(path, key)
		below, wasTable := into[key].(map[string]any)
		if above, isTable := value.(map[string]any); isTable && wasTable {
			d.mergeTable(here, below, above)
			continue
		}
		into[key] = value
		id := pathID(here)
		maps.DeleteFunc(d.at, func(old string, _ position) bool { return strings.HasPrefix(old, id+"\x00") })
		d.at[id] = position{}
	}
}

// locator walks the expressions of a valid TOML text and notes where each key
// stands.
type locator struct {
	lineStarts []int
	at         map[string]position
	// elements counts the elements so far of each array of tables.
	elements map[string]int
}

func locate(text []byte) map[string]position {
	l := &locator{lineStarts: []int{0}, at: map[string]position{}, elements: map[string]int{}}
	for offset, char := range text {
		if char == '\n' {
			l.lineStarts = append(l.lineStarts, offset+1)
		}
	}
	var parser unstable.Parser
	parser.Reset(text)
	var table []string
	for parser.NextExpression() {
		switch expression := parser.Expression(); expression.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = l.header(expression)
		case unstable.KeyValue:
			l.keyValue(table, expression)
		}
	}
	return l.at
}

// note records the place of a path; the first one wins, so that a table stands
// where it was first named.
func (l *locator) note(path []string, place unstable.Range) {
	id := pathID(path)
	if _, ok := l.at[id]; ok {
		return
	}
	offset := int(place.Offset)
	line := sort.SearchInts(l.lineStarts, offset+1)
	l.at[id] = position{line: line, column: offset - l.lineStarts[line-1] + 1}
}

// header returns the path that a [table] or [[array of tables]] line opens.
func (l *locator) header(expression *unstable.Node) []string {
	var path []string
	for keys := expression.Key(); keys.Next(); {
		key := keys.Node()
		path = append(path, string(key.Data))
		l.note(path, key.Raw)
		id := pathID(path)
		if expression.Kind == unstable.ArrayTable && keys.IsLast() {
			l.elements[id]++
		}
		if n := l.elements[id]; n > 0 {
			path = append(path, strconv.Itoa(n-1))
			l.note(path, key.Raw)
		}
	}
	return path
}

func (l *locator) keyValue(table []string, expression *unstable.Node) {
	path := slices.Clone(table)
	var place unstable.Range
	for keys := expression.Key(); keys.Next(); {
		place = keys.Node().Raw
		path = append(path, string(keys.Node().Data))
		l.note(path, place)
	}
	l.value(path, expression.Value(), place)
}

// value notes the values inside an array or an inline table. Elements without a place of their own
// take that of the key.
func (l *locator) value(path []string, value *unstable.Node, key unstable.Range) {
	switch value.Kind {
	case unstable.InlineTable:
		for pairs := value.Children(); pairs.Next(); {
			l.keyValue(path, pairs.Node())
		}
	case unstable.Array:
		n := 0
		for elements := value.Children(); elements.Next(); n++ {
			element := under(path, n)
			place := elements.Node().Raw
			if place.Length == 0 {
				place = key
			}
			l.note(element, place)
			l.value(element, elements.Node(), place)
		}
	}
}
