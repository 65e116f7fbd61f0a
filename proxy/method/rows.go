package method

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"google.golang.org/protobuf/encoding/protowire"
)

//go:embed methods.toml
var dataFile []byte

// row is one method of the data file, whose head explains the fields.
type row struct {
	Name    string           `toml:"name"`
	Kind    string           `toml:"kind"`
	Also    string           `toml:"also"`
	Scope   string           `toml:"scope"`
	Streams string           `toml:"streams"`
	Target  protowire.Number `toml:"target"`
	Why     string           `toml:"why"`
}

func (t *Table) addRows(file []byte) error {
	var content struct {
		Methods []row `toml:"methods"`
	}
	decoder := toml.NewDecoder(strings.NewReader(string(file))).DisallowUnknownFields()
	if err := decoder.Decode(&content); err != nil {
		return err
	}
	for _, r := range content.Methods {
		m, err := r.method()
		if _, known := t.methods[m.FullName]; known && r.Also == "" && err == nil {
			err = errors.New("the method is compiled in: remove the row")
		}
		if err == nil {
			err = t.add(m)
		}
		if err != nil {
			return fmt.Errorf("row %q: %w", r.Name, err)
		}
	}
	return nil
}

// kindAnswered and kindRefused are the kinds of rows whose methods are not forwarded.
const (
	kindAnswered = "answered"
	kindRefused  = "refused"
)

func (r row) method() (Method, error) {
	m := Method{FullName: "/gitaly." + r.Name}
	if strings.Count(r.Name, "/") != 1 {
		return m, errors.New("the name is not that of a service and a method")
	}
	switch r.Streams {
	case "", "client", "server", "both":
		m.ClientStreams = r.Streams == "client" || r.Streams == "both"
		m.ServerStreams = r.Streams == "server" || r.Streams == "both"
	default:
		return m, fmt.Errorf("unknown streams %q", r.Streams)
	}
	switch {
	case r.Kind == kindAnswered:
		return m, nil
	case r.Kind == kindRefused && r.Why == "":
		return m, errors.New("refused without a reason")
	case r.Kind == kindRefused:
		m.Refusal = r.Why
		return m, nil
	}

	kinds := map[string]Kind{"": Intercepted, "accessor": Accessor, "mutator": Mutator, "maintenance": Maintenance}
	m.Kind, m.also = kinds[r.Kind], kinds[r.Also]
	if m.Kind == Intercepted {
		return m, fmt.Errorf("unknown kind %q", r.Kind)
	}
	if r.Also != "" && (m.also == Intercepted || m.also == m.Kind || r.Why == "") {
		return m, fmt.Errorf("also %q: it takes another kind, and a reason", r.Also)
	}
	if r.Target < protowire.MinValidNumber {
		return m, errors.New("no field holds the target")
	}
	way := trail{r.Target}
	e := edge{num: r.Target}
	switch r.Scope {
	case "repository":
		m.Scope, m.plan.target, e.role = ScopeRepository, way, roleTarget
	case "storage":
		m.Scope, m.plan.storage, e.role = ScopeStorage, way, roleStorage
	default:
		return m, fmt.Errorf("unknown scope %q", r.Scope)
	}
	m.plan.root = &level{edges: []edge{e}}
	return m, nil
}
