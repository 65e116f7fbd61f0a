package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

const examplePath = "config.example.toml"

func readExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(examplePath)
	must(t, err)
	return string(text)
}

func TestExample_loads(t *testing.T) {
	c, err := Load(t.Context(), examplePath, noEnv)
	must(t, err)
	if len(c.Ignored) > 0 {
		t.Errorf("the example has keys without an effect: %v", c.Ignored)
	}
}

func TestExample_showsTheDefaults(t *testing.T) {
	text := readExample(t)
	active := regexp.MustCompile(`(?m)^#([a-z_]+ = )`).ReplaceAllString(text, "$1")
	if active == text {
		t.Fatal("the example has no lines with defaults")
	}
	shown := parseText(t, active)
	shown.Ignored = nil // keys were named, and that is said
	if diff := cmp.Diff(parseText(t, text), shown); diff != "" {
		t.Errorf("a line that claims to show a default does not (-default +shown):\n%s", diff)
	}
}

func TestExample_hasEveryKey(t *testing.T) {
	text := readExample(t)
	active := regexp.MustCompile(`(?m)^#(?:# ?)?(\[\[|[a-z_]+ = )`).ReplaceAllString(text, "$1")
	var document map[string]any
	must(t, toml.Unmarshal([]byte(active), &document))
	shown := map[string]bool{}
	collectKeys(shown, "", document)
	for _, key := range settings("", reflect.TypeFor[Config]()) {
		if !shown[key] {
			t.Errorf("the example lacks %q", key)
		}
		delete(shown, key)
	}
	for key := range shown {
		t.Errorf("the example has %q, which is no setting", key)
	}
	for key := range unusedKeys() {
		parts := strings.Split(key, ".")
		if !regexp.MustCompile(`(?m)^#.*\b` + parts[len(parts)-1] + `\b`).MatchString(text) {
			t.Errorf("the example does not name the unused %q", key)
		}
	}
}

// collectKeys notes the dotted keys of all values that are not tables.
func collectKeys(into map[string]bool, name string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			collectKeys(into, strings.TrimPrefix(name+"."+key, "."), inner)
		}
	case []any:
		for _, element := range value {
			if _, ok := element.(map[string]any); !ok {
				into[name] = true
				return
			}
			collectKeys(into, name, element)
		}
	default:
		into[name] = true
	}
}

// settings returns the dotted keys of all fields that are not tables.
func settings(name string, of reflect.Type) []string {
	var keys []string
	for field := range of.Fields() {
		tag := field.Tag.Get("toml")
		inner := field.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		switch {
		case tag == "-":
		case inner.Kind() == reflect.Struct:
			keys = append(keys, settings(name+tag+".", inner)...)
		default:
			keys = append(keys, name+tag)
		}
	}
	return keys
}

func TestConfig_everyFieldIsDocumented(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	must(t, err)
	documented := 0
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		must(t, err)
		ast.Inspect(file, func(node ast.Node) bool {
			field, ok := node.(*ast.Field)
			if !ok || field.Tag == nil {
				return true
			}
			if field.Doc == nil {
				t.Errorf("%s: the field tagged %s has no comment", path, field.Tag.Value)
			}
			documented++
			return true
		})
	}
	if want := len(settings("", reflect.TypeFor[Config]())); documented < want {
		t.Errorf("found %d fields, want at least %d", documented, want)
	}
}
