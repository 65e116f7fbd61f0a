package main

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// The measures of the picture in pixels.
const (
	charTenths = 84 // the width of a character, in tenths
	lineHeight = 18
	margin     = 16
	titleBar   = 32
)

const (
	// longestGap is the time to which a pause between two lines is cut.
	longestGap = 1500 * time.Millisecond
	// stays is how long the end stays before the picture begins again.
	stays = 8 * time.Second
)

// render draws the recording: each line appears at its time, and the lines scroll when there are
// more than fit. A viewer that does not animate shows the end.
func render(r recording) string {
	times, total := paced(r)
	w, h := width*charTenths/10+2*margin, height*lineHeight+titleBar+margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="make demo">`+"\n", w, h, w, h)
	b.WriteString(`<style>text{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#d8dee9;white-space:pre}.good{fill:#a3be8c}.head{fill:#88c0d0}</style>` + "\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="#20242c"/>`+"\n", w, h)
	for i, colour := range []string{"#bf616a", "#ebcb8b", "#a3be8c"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="16" r="6" fill="%s"/>`+"\n", margin+6+i*20, colour)
	}
	fmt.Fprintf(&b, `<svg x="%d" y="%d" width="%d" height="%d">`+"\n", margin, titleBar, w-2*margin, height*lineHeight+margin/2)
	last := max(0, len(r.lines)-height)
	fmt.Fprintf(&b, `<g transform="translate(0 %d)">`+"\n", -last*lineHeight)
	scroll(&b, times, total)
	for i, l := range r.lines {
		fmt.Fprintf(&b, `<text y="%d"%s>%s`, (i+1)*lineHeight-4, class(l.text), html.EscapeString(l.text))
		fmt.Fprintf(&b, `<animate attributeName="visibility" values="hidden;visible" keyTimes="0;%s" dur="%s" calcMode="discrete" repeatCount="indefinite"/>`,
			share(times[i], total), seconds(total))
		b.WriteString("</text>\n")
	}
	b.WriteString("</g>\n</svg>\n</svg>\n")
	return b.String()
}

// scroll moves the lines up by one as soon as one more does not fit.
func scroll(b *strings.Builder, times []time.Duration, total time.Duration) {
	if len(times) <= height {
		return
	}
	values, keys := []string{"0 0"}, []string{"0"}
	for i := height; i < len(times); i++ {
		move := fmt.Sprintf("0 %d", -(i-height+1)*lineHeight)
		if at := share(times[i], total); at != keys[len(keys)-1] {
			values, keys = append(values, move), append(keys, at)
		} else {
			values[len(values)-1] = move
		}
	}
	fmt.Fprintf(b, `<animateTransform attributeName="transform" type="translate" values="%s" keyTimes="%s" dur="%s" calcMode="discrete" repeatCount="indefinite"/>`+"\n",
		strings.Join(values, ";"), strings.Join(keys, ";"), seconds(total))
}

// paced returns when each line appears, with long pauses cut, and when the picture begins again.
func paced(r recording) (times []time.Duration, total time.Duration) {
	now := 500 * time.Millisecond
	for i, l := range r.lines {
		if i > 0 {
			now += min(max(0, l.at-r.lines[i-1].at), longestGap)
		}
		times = append(times, now)
	}
	return times, now + stays
}

// share is an instant as a part of the whole.
func share(at, total time.Duration) string { return fmt.Sprintf("%.4f", at.Seconds()/total.Seconds()) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }

// class gives a line its colour: a command, a step that succeeded, or neither.
func class(text string) string {
	switch trimmed := strings.TrimSpace(text); {
	case strings.HasPrefix(trimmed, "$ "):
		return ` class="head"`
	case strings.HasPrefix(trimmed, "●"), strings.HasPrefix(trimmed, "✓"), strings.HasPrefix(trimmed, "ok "):
		return ` class="good"`
	}
	return ""
}
