package browser

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"slices"
)

const (
	colours = 256
	// frequent colours are used most; the others are unlike these, so that no hue
	// is lost because little of it is there.
	frequent = 192
)

// Small makes a screenshot a third as large: it keeps 256 of its colours, which are all but some
// shades at the edges of letters.
func Small(screenshot []byte) ([]byte, error) {
	picture, err := png.Decode(bytes.NewReader(screenshot))
	if err != nil {
		return nil, err
	}
	bounds := picture.Bounds()
	used := make(map[color.RGBA]int)
	plain := image.NewRGBA(bounds)
	draw.Draw(plain, bounds, picture, bounds.Min, draw.Src)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			used[plain.RGBAAt(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(used), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(used[b], used[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	palette := choose(most)
	index := make(map[color.RGBA]uint8, len(used))
	for c := range used {
		index[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, index[plain.RGBAAt(x, y)])
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small)
	return out.Bytes(), err
}

// choose makes a palette of colours that come in the order of their use.
func choose(most []color.RGBA) color.Palette {
	var palette color.Palette
	for _, c := range most[:min(len(most), frequent)] {
		palette = append(palette, c)
	}
	rest := most[len(palette):]
	apart := make([]int, len(rest)) // how unlike each is to the most alike one in the palette
	for i, c := range rest {
		apart[i] = unlike(c, palette[palette.Index(c)])
	}
	for len(palette) < colours && len(rest) > 0 {
		next := slices.Index(apart, slices.Max(apart))
		if apart[next] == 0 {
			break
		}
		palette = append(palette, rest[next])
		for i, c := range rest {
			apart[i] = min(apart[i], unlike(c, rest[next]))
		}
	}
	return palette
}

// unlike tells how far two colours are apart.
func unlike(a color.RGBA, other color.Color) int {
	b := color.RGBAModel.Convert(other).(color.RGBA)
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}
