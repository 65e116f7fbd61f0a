package browser

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"praefect/test/must"
)

// WaitTimeout bounds how long a test waits for a page to show something.
const WaitTimeout = 2 * time.Minute

// look is the time between two looks at a page.
const look = 50 * time.Millisecond

// Page is one tab, with cookies of its own. Its methods fail the test when the browser cannot do
// what they say.
type Page struct {
	t       testing.TB
	b       *Browser
	session string

	mu     sync.Mutex
	errors []string // guarded by mu
}

// Open opens an empty tab. At the end of the test the page must not have reported an error.
func (b *Browser) Open(t testing.TB) *Page {
	t.Helper()
	p := &Page{t: t, b: b}
	var context struct {
		ID string `json:"browserContextId"`
	}
	p.must(b.call(t.Context(), "", "Target.createBrowserContext", nil, &context))
	var target struct {
		ID string `json:"targetId"`
	}
	p.must(b.call(t.Context(), "", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.ID}, &target))
	var attached struct {
		Session string `json:"sessionId"`
	}
	p.must(b.call(t.Context(), "", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached))
	p.session = attached.Session
	b.mu.Lock()
	b.pages[p.session] = p.complain
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		p.call(domain+".enable", nil, nil)
	}
	p.Size(1280, 900)
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.errors) > 0 {
			t.Errorf("the page has errors:\n%s", errorsOf(p.errors))
		}
	})
	return p
}

func (p *Page) complain(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors = append(p.errors, text)
}

func (p *Page) must(err error) {
	p.t.Helper()
	must.Succeed(p.t, err)
}

func (p *Page) call(method string, params, result any) {
	p.t.Helper()
	p.must(p.b.call(p.t.Context(), p.session, method, params, result))
}

// Size sets the size of the window.
func (p *Page) Size(width, height int) {
	p.t.Helper()
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// Prefer makes the system prefer a colour scheme, "light" or "dark".
func (p *Page) Prefer(scheme string) {
	p.t.Helper()
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"},
	}}, nil)
}

// Go loads a page.
func (p *Page) Go(url string) {
	p.t.Helper()
	var result struct {
		ErrorText string `json:"errorText"`
	}
	p.call("Page.navigate", map[string]any{"url": url}, &result)
	if result.ErrorText != "" {
		p.t.Fatalf("load %s: %s", url, result.ErrorText)
	}
}

// Eval evaluates an expression, which may be a promise, into result.
func (p *Page) Eval(expression string, result any) {
	p.t.Helper()
	p.must(p.eval(expression, result))
}

func (p *Page) eval(expression string, result any) error {
	var answer struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err := p.b.call(p.t.Context(), p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer)
	switch {
	case err != nil:
		return err
	case answer.Exception != nil:
		return fmt.Errorf("evaluate %s: %s %s", expression, answer.Exception.Text, answer.Exception.Exception.Description)
	case result == nil || len(answer.Result.Value) == 0:
		return nil
	}
	return json.Unmarshal(answer.Result.Value, result)
}

// Wait waits until an expression is true.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	again := time.NewTicker(look)
	defer again.Stop()
	bound := time.NewTimer(WaitTimeout)
	defer bound.Stop()
	for {
		var there bool
		// While a page loads there is nothing to evaluate in.
		if err := p.eval("Boolean("+expression+")", &there); err == nil && there {
			return
		}
		select {
		case <-again.C:
		case <-bound.C:
			var text string
			p.Eval("document.body.innerText", &text)
			p.t.Fatalf("%s is not so within %v; the page has:\n%s", expression, WaitTimeout, text)
		}
	}
}

// WaitText waits until the element that a selector finds contains a text.
func (p *Page) WaitText(selector, text string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf("[...document.querySelectorAll(%s)].some(n => (n.textContent ?? '').includes(%s))", quote(selector), quote(text)))
}

// Click clicks where the first node of a selector is, as a user would.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf("document.querySelector(%s)?.getClientRects().length", quote(selector)))
	var at struct{ X, Y float64 }
	p.Eval(fmt.Sprintf(`(() => { const n = document.querySelector(%s); n.scrollIntoView({block: "center", behavior: "instant"});
		const r = n.getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()`, quote(selector)), &at)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// Type types a text into the element that has the focus.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.call("Input.insertText", map[string]any{"text": text}, nil)
}

// codes are the keys that are no letters.
var codes = map[string]int{"Enter": 13, "Escape": 27, "Tab": 9}

// Press presses keys one after the other: letters, or Enter, Escape and Tab.
func (p *Page) Press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		down := map[string]any{"type": "keyDown", "key": key}
		if code, ok := codes[key]; ok {
			down["windowsVirtualKeyCode"], down["code"] = code, key
			if key == "Enter" {
				down["text"] = "\r"
			}
		} else {
			down["text"] = key
		}
		p.call("Input.dispatchKeyEvent", down, nil)
		up := map[string]any{"type": "keyUp", "key": key}
		p.call("Input.dispatchKeyEvent", up, nil)
	}
}

// Screenshot returns the window as a PNG.
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	p.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	p.must(err)
	return png
}

func quote(text string) string {
	out, err := json.Marshal(text)
	if err != nil { // a string
		panic(err)
	}
	return string(out)
}
