package browser

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"praefect/test/must"
)

// TestSmall_keepsARareHue draws more shades of grey than a palette has, and one red dot.
func TestSmall_keepsARareHue(t *testing.T) {
	picture := image.NewRGBA(image.Rect(0, 0, 300, 10))
	for x := range 300 {
		for y := range 10 {
			picture.SetRGBA(x, y, color.RGBA{uint8(x), uint8(x / 2), uint8(x + y), 255})
		}
	}
	red := color.RGBA{255, 0, 0, 255}
	picture.SetRGBA(7, 7, red)
	var big bytes.Buffer
	must.Succeed(t, png.Encode(&big, picture))
	small, err := Small(big.Bytes())
	must.Succeed(t, err)
	got, err := png.Decode(bytes.NewReader(small))
	must.Succeed(t, err)
	if _, ok := got.(*image.Paletted); !ok || got.Bounds() != picture.Bounds() {
		t.Errorf("a %T of %v", got, got.Bounds())
	}
	if r, g, b, _ := got.At(7, 7).RGBA(); r>>8 != 255 || g != 0 || b != 0 {
		t.Errorf("the red dot is %v", got.At(7, 7))
	}
	if _, err := Small([]byte("no picture")); err == nil {
		t.Error("no error for what is no picture")
	}
}
