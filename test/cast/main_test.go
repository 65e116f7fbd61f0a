package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/must"
)

// clock advances by a second at each look.
func clock() func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

// recorded is a recording of n lines, a second apart.
func recorded(t *testing.T, n int) string {
	t.Helper()
	var output, recording bytes.Buffer
	for i := range n {
		fmt.Fprintf(&output, "● line %d at /home/me/praefect <ok>\n", i+1)
	}
	must.Succeed(t, run([]string{"record", "/home/me/praefect=~"}, &output, &recording, clock()))
	return recording.String()
}

func rendered(t *testing.T, recording string) string {
	t.Helper()
	var picture bytes.Buffer
	must.Succeed(t, run([]string{"render"}, strings.NewReader(recording), &picture, clock()))
	return picture.String()
}

func TestRecord_replacesTextOfThisMachine(t *testing.T) {
	recording := recorded(t, 2)
	want := `{"version":2,"width":118,"height":30}
[1,"o","● line 1 at ~ <ok>\r\n"]
[2,"o","● line 2 at ~ <ok>\r\n"]
`
	if recording != want {
		t.Errorf("got %s, want %s", recording, want)
	}
}

func TestRecord_keepsColumns(t *testing.T) {
	var recording bytes.Buffer
	must.Succeed(t, run([]string{"record", "3c4307a=dev"}, strings.NewReader("3c4307a  4ms\nof 3c4307a \n"), &recording, clock()))
	for _, want := range []string{`"dev      4ms\r\n"`, `"of dev\r\n"`} {
		if !strings.Contains(recording.String(), want) {
			t.Errorf("got %s, want %s", recording.String(), want)
		}
	}
}

func TestRender_isWellFormedAndScrolls(t *testing.T) {
	for _, n := range []int{1, height, height + 5} {
		picture := rendered(t, recorded(t, n))
		parser := xml.NewDecoder(strings.NewReader(picture))
		texts := 0
		for {
			token, err := parser.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%d lines: %v", n, err)
			}
			if start, ok := token.(xml.StartElement); ok && start.Name.Local == "text" {
				texts++
			}
		}
		if texts != n {
			t.Errorf("%d lines: the picture has %d", n, texts)
		}
		if scrolls := strings.Contains(picture, "animateTransform"); scrolls != (n > height) {
			t.Errorf("%d lines: scrolls is %t", n, scrolls)
		}
		if strings.Contains(picture, "http://") && strings.Count(picture, "http://") > 1 || strings.Contains(picture, "<script") {
			t.Error("the picture needs a network or a script")
		}
	}
}

func TestRender_refusesWhatIsNoRecording(t *testing.T) {
	for _, text := range []string{"", "x", `{"version":1}`, "{\"version\":2}\n", "{\"version\":2}\n[1,\"i\",\"x\"]", "{\"version\":2}\n[1]"} {
		if err := run([]string{"render"}, strings.NewReader(text), io.Discard, clock()); err == nil {
			t.Errorf("%q was rendered", text)
		}
	}
	for _, args := range [][]string{nil, {"play"}, {"record", "x"}} {
		if err := run(args, strings.NewReader(""), io.Discard, clock()); !errors.Is(err, errUsage) {
			t.Errorf("%q: got %v, want the usage", args, err)
		}
	}
}

// TestPicture_isThatOfItsRecording compares docs/images/demo.svg with docs/images/demo.cast.
func TestPicture_isThatOfItsRecording(t *testing.T) {
	images := filepath.Join("..", "..", "docs", "images")
	recording, err := os.ReadFile(filepath.Join(images, "demo.cast"))
	must.Succeed(t, err)
	picture, err := os.ReadFile(filepath.Join(images, "demo.svg"))
	must.Succeed(t, err)
	if rendered(t, string(recording)) != string(picture) {
		t.Error("docs/images/demo.svg is not the picture of docs/images/demo.cast: run make cast")
	}
}
