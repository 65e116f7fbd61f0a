package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"praefect/fsm/wire"
	"praefect/proxy/admin/adminpb"
)

func pair[T any](m proto.Message) (*wire.Type[T], error) {
	return wire.Map[T](m.ProtoReflect().Descriptor(), map[string]any{"schema": 7})
}

// A struct that lacks a field, has one more or one of another kind would lose it silently.
func TestMap_refusesWhatDiffers(t *testing.T) {
	type half struct {
		VirtualStorage string `json:"virtual_storage"`
	}
	type more struct {
		half
		RelativePath string `json:"relative_path"`
	}
	type number struct {
		VirtualStorage string `json:"virtual_storage"`
		RelativePath   int    `json:"relative_path"`
	}
	type pointer struct {
		VirtualStorage string  `json:"virtual_storage"`
		RelativePath   *string `json:"relative_path"`
	}
	type list struct {
		VirtualStorage string   `json:"virtual_storage"`
		RelativePath   []string `json:"relative_path"`
	}
	type one struct {
		UpTo  float64 `json:"up_to"`
		Count uint64  `json:"count"`
		Sum   float64 `json:"sum,omitempty"`
	}
	refused := func(name string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	_, err := pair[half](&adminpb.Key{})
	refused("a field less", err, "has no field for praefect.admin.v1.Key.relative_path")
	_, err = pair[more](&adminpb.Key{})
	refused("an embedded struct", err, `has no field "half"`)
	_, err = pair[number](&adminpb.Key{})
	refused("a number", err, "int is no string of praefect.admin.v1.Key.relative_path")
	_, err = pair[pointer](&adminpb.Key{})
	refused("a pointer", err, "is never absent")
	_, err = pair[list](&adminpb.Key{})
	refused("a list", err, "[]string is no string")
	_, err = pair[one](&adminpb.Bucket{})
	refused("a field more", err, `has no field "sum"`)
	type flat struct {
		Conditions string `json:"conditions"`
	}
	_, err = pair[flat](&adminpb.ShareConditionsResponse{})
	refused("one for a list", err, "string is no list")
}

func TestType_writesAndReads(t *testing.T) {
	type Change struct {
		RequestID string `json:"request_id"`
		By        string `json:"by"`
		Why       string `json:"why"`
	}
	type request struct {
		Schema int `json:"schema"`
		Change
		VirtualStorage string `json:"virtual_storage"`
		ForMillis      int64  `json:"for_ms"`
	}
	if _, err := pair[request](&adminpb.PauseRequest{}); err != nil {
		t.Fatal(err)
	}
	type PauseOf struct {
		Until *time.Time `json:"until"`
		Why   string     `json:"why"`
		By    string     `json:"by"`
		// Schema is not in the message.
		Schema int `json:"schema"`
	}
	pause, err := pair[PauseOf](&adminpb.Pause{})
	if err != nil {
		t.Fatal(err)
	}
	until := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	m := pause.Write(PauseOf{Until: &until, Why: "a\xffb", Schema: 3})
	if want := (&adminpb.Pause{Why: "a\uFFFDb"}); m.(*adminpb.Pause).GetWhy() != want.GetWhy() || !m.(*adminpb.Pause).GetUntil().AsTime().Equal(until) {
		t.Errorf("got %v", m)
	}
	if got, want := pause.Read(m), (PauseOf{Until: &until, Why: "a\uFFFDb", Schema: 7}); !cmp.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := pause.Read(pause.New()); got.Until != nil || got.Schema != 7 {
		t.Errorf("an empty message: got %+v", got)
	}
}

// A list that JSON always shows is read as an empty one, the others as none.
func TestType_emptyLists(t *testing.T) {
	type page struct {
		Storages []string `json:"storages"`
		Rule     string   `json:"rule"`
		Why      string   `json:"why"`
		Refused  string   `json:"refused"`
	}
	route, err := pair[page](&adminpb.ReadRoute{})
	if err != nil {
		t.Fatal(err)
	}
	if got := route.Read(route.Write(page{})); got.Storages == nil {
		t.Errorf("got %+v", got)
	}
	type waiting struct {
		Reason      string   `json:"reason"`
		Instance    string   `json:"instance"`
		Incarnation uint64   `json:"incarnation"`
		Storages    []string `json:"storages,omitempty"`
		LeftMillis  int64    `json:"left_ms"`
	}
	why, err := pair[waiting](&adminpb.Waiting{})
	if err != nil {
		t.Fatal(err)
	}
	if got := why.Read(why.Write(waiting{Storages: []string{}})); got.Storages != nil {
		t.Errorf("got %+v", got)
	}
}
