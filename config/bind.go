package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Ignored is a key of the text that upstream knows and this project has no use
// for.
type Ignored struct {
	// Key is the dotted key, without positions in arrays.
	Key string
	// Line is where it stands, from 1; 0 where it came from the config command.
	Line int
	// Why names its replacement, or the reason why there is none.
	Why string
}

// binder moves the values of a document into a Config by the toml tags of its
// fields. A value of the wrong type is a fault. A key that has no field and is
// not listed as unused is a fault in a table of this project's own, and also in
// a table of upstream's if it resembles a known key; any other key of upstream's
// tables is only a warning. TOML and the JSON of a config command are bound by
// the same rules, and no fault hides another.
type binder struct {
	found    *findings
	unused   map[string]string // keys without a field
	idle     map[string]string // keys with a field that nothing reads yet
	ignored  []Ignored
	warnings []Warning
}

func (b *binder) ignore(path []string, dotted, why string) {
	b.ignored = append(b.ignored, Ignored{Key: dotted, Line: b.found.doc.position(path).line, Why: why})
}

// table binds the keys of one table. name is the table's dotted key, ending in
// a dot unless it is the root.
func (b *binder) table(path []string, name string, raw map[string]any, into reflect.Value) {
	fields := map[string]reflect.Value{}
	for field, value := range into.Fields() {
		if tag := field.Tag.Get("toml"); tag != "-" {
			fields[tag] = value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		value := raw[key]
		here := under(path, key)
		dotted := name + key
		if field, ok := fields[key]; ok {
			b.value(here, dotted, value, field)
			if why, ok := b.idle[dotted]; ok {
				b.ignore(here, dotted, why)
			}
		} else if why, ok := b.unused[dotted]; ok {
			b.ignore(here, dotted, why)
		} else if inner, ok := value.(map[string]any); ok && b.unusedBelow(dotted) {
			b.table(here, dotted+".", inner, reflect.ValueOf(struct{}{}))
		} else {
			b.unknown(here, name, key, fields)
		}
	}
}

// unusedBelow tells whether a table has keys that upstream knows.
func (b *binder) unusedBelow(dotted string) bool {
	for key := range b.unused {
		if strings.HasPrefix(key, dotted+".") {
			return true
		}
	}
	return false
}

func (b *binder) value(path []string, dotted string, raw any, into reflect.Value) {
	if text, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		b.text(path, raw, text)
		return
	}
	want := ""
	switch into.Kind() {
	case reflect.String:
		if value, ok := raw.(string); ok {
			b.str(path, value, into)
			return
		}
		want = "a string"
	case reflect.Bool:
		if value, ok := raw.(bool); ok {
			into.SetBool(value)
			return
		}
		want = "true or false"
	case reflect.Int, reflect.Uint16, reflect.Uint32:
		if value, ok := raw.(int64); ok {
			b.integer(path, value, into)
			return
		}
		want = "a whole number"
	case reflect.Float64:
		switch value := raw.(type) {
		case float64:
			into.SetFloat(value)
			return
		case int64:
			into.SetFloat(float64(value))
			return
		}
		want = "a number"
	case reflect.Struct:
		if value, ok := raw.(map[string]any); ok {
			b.table(path, dotted+".", value, into)
			return
		}
		want = "a table"
	case reflect.Slice:
		if value, ok := raw.([]any); ok {
			b.list(path, dotted, value, into)
			return
		}
		want = "an array"
	default:
		panic(fmt.Sprintf("config: no rule for a setting of type %v", into.Type()))
	}
	b.found.add(path, "must be %s, not %s", want, kindName(raw))
}

func (b *binder) str(path []string, value string, into reflect.Value) {
	// Neither a path nor Postgres' protocol can carry one.
	if strings.ContainsRune(value, 0) {
		b.found.add(path, "contains a NUL character: remove it")
		return
	}
	into.SetString(value)
}

func (b *binder) text(path []string, raw any, into encoding.TextUnmarshaler) {
	value, ok := raw.(string)
	if raw == int64(0) {
		value, ok = "0s", true // upstream's way to switch a timer off; no other number has a unit
	}
	if !ok {
		b.found.add(path, "must be a duration in quotes, such as '30s' or '5m', not %s", kindName(raw))
		return
	}
	if err := into.UnmarshalText([]byte(value)); err != nil {
		b.found.add(path, "%v", err)
	}
}

func (b *binder) integer(path []string, value int64, into reflect.Value) {
	if into.CanUint() {
		if value < 0 || into.OverflowUint(uint64(value)) {
			b.found.add(path, "%d is out of range: write a number from 0 to %d", value, uint64(1)<<into.Type().Bits()-1)
			return
		}
		into.SetUint(uint64(value))
		return
	}
	if into.OverflowInt(value) {
		b.found.add(path, "%d is out of range", value)
		return
	}
	into.SetInt(value)
}

func (b *binder) list(path []string, dotted string, raw []any, into reflect.Value) {
	elements := reflect.MakeSlice(into.Type(), len(raw), len(raw))
	for i, value := range raw {
		b.value(under(path, i), dotted, value, elements.Index(i))
	}
	into.Set(elements)
}

// kindName names the kind of value in the text, never its content: that could be a secret.
func kindName(raw any) string {
	switch raw.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case map[string]any:
		return "a table"
	case []any:
		return "an array"
	}
	return "a date or time"
}
