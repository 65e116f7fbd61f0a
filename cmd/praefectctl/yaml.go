package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// yamlOf writes a JSON document as YAML, with its names in the same order. A JSON string is a
// double-quoted YAML string, so that nothing has to be quoted anew.
func yamlOf(document []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	value, err := readOrdered(d)
	if err != nil {
		return nil, fmt.Errorf("write the answer as YAML: %w", err)
	}
	var out bytes.Buffer
	writeYAML(&out, value, 0, false)
	return out.Bytes(), nil
}

// member is one name of an object with its value; an object is a slice of them, which keeps
// their order.
type member struct {
	name  string
	value any
}

// readOrdered reads the next value: an []member, an []any or the text of a scalar.
func readOrdered(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		members := []member{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			members = append(members, member{fmt.Sprint(name), value})
		}
		_, err := d.Token()
		return members, err
	case json.Delim('['):
		items := []any{}
		for d.More() {
			item, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err := d.Token()
		return items, err
	}
	if _, is := token.(json.Delim); is {
		return nil, errors.New("not a document")
	}
	text, err := json.Marshal(token)
	return string(text), err
}

// writeYAML writes a value at a depth. inline tells that something stands before it on its line.
func writeYAML(out io.Writer, value any, depth int, inline bool) {
	indent := strings.Repeat("  ", depth)
	switch v := value.(type) {
	case []member:
		if len(v) == 0 {
			fmt.Fprint(out, " {}\n"[indentless(inline):])
			return
		}
		for i, m := range v {
			if i > 0 || !inline {
				fmt.Fprint(out, indent)
			} else if inline {
				fmt.Fprint(out, " ")
			}
			fmt.Fprintf(out, "%s:", m.name)
			nested(out, m.value, depth)
		}
	case []any:
		if len(v) == 0 {
			fmt.Fprint(out, " []\n"[indentless(inline):])
			return
		}
		for _, item := range v {
			fmt.Fprintf(out, "%s-", indent)
			if list, is := item.([]any); is && len(list) > 0 {
				fmt.Fprintln(out)
			}
			writeYAML(out, item, depth+1, true)
		}
	default:
		fmt.Fprint(out, fmt.Sprintf(" %s\n", v)[indentless(inline):])
	}
}

// nested writes the value of a name: a list or an object that is not empty begins on the next line.
func nested(out io.Writer, value any, depth int) {
	switch v := value.(type) {
	case []member:
		if len(v) > 0 {
			fmt.Fprintln(out)
			writeYAML(out, v, depth+1, false)
			return
		}
	case []any:
		if len(v) > 0 {
			fmt.Fprintln(out)
			writeYAML(out, v, depth+1, false)
			return
		}
	}
	writeYAML(out, value, depth, true)
}

// indentless is where a text with a leading space begins.
func indentless(inline bool) int {
	if inline {
		return 0
	}
	return 1
}
