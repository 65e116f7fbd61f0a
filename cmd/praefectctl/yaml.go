package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// yamlOf writes a JSON document as YAML, with its names in the same order. A JSON string is a
// double-quoted YAML string, so that nothing has to be quoted anew. Each line of the indented
// document becomes one line, but for those that have only a bracket.
func yamlOf(document []byte) ([]byte, error) {
	var indented, out bytes.Buffer
	if err := json.Indent(&indented, document, "", "  "); err != nil {
		return nil, fmt.Errorf("write the answer as YAML: %w", err)
	}
	var around []byte // the brackets of the objects and lists that a line is in
	begins := false   // the line is the first of an object in a list
	for line := range strings.Lines(indented.String()) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ",")
		if line == "}" || line == "]" {
			around = around[:len(around)-1]
			continue
		}
		rest, opens := strings.CutSuffix(line, "{")
		if !opens {
			rest, opens = strings.CutSuffix(line, "[")
		}
		depth := len(around)
		indent := strings.Repeat("  ", max(0, depth-1))
		if begins {
			indent = indent[2:] + "- "
		}
		begins = false
		switch {
		case depth == 0 && !opens:
			out.WriteString(line + "\n")
		case depth == 0:
		case around[depth-1] == '[' && line == "{":
			begins = true
		case around[depth-1] == '[':
			out.WriteString(strings.TrimRight(indent+"- "+rest, " ") + "\n")
		default:
			quoted, value, _ := strings.Cut(rest, `": `)
			out.WriteString(indent + strings.TrimPrefix(quoted, `"`) + strings.TrimRight(": "+value, " ") + "\n")
		}
		if opens {
			around = append(around, line[len(line)-1])
		}
	}
	return out.Bytes(), nil
}
