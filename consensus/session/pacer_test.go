package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// A few rounds follow each other at once, and many are gap apart.
func TestPacer_pausesWhenMuchHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		began := time.Now()
		rounds := func(n int) time.Duration {
			before := time.Now()
			for range n {
				if !p.round(time.Since(began), nil) {
					t.Fatal("ended")
				}
			}
			return time.Since(before)
		}
		time.Sleep(time.Second)
		if took := rounds(apartFrom); took != 0 {
			t.Errorf("the first few rounds took %v", took)
		}
		if took := rounds(1000); took < 990*gap || took > 1000*gap {
			t.Errorf("1000 rounds took %v", took)
		}
		ended := make(chan struct{})
		close(ended)
		if p.round(time.Since(began), ended) {
			t.Error("a round that was to wait began after the end")
		}
		time.Sleep(apartFrom * gap)
		if took := rounds(1); took != 0 {
			t.Errorf("a round after a while waited %v", took)
		}
	})
}
