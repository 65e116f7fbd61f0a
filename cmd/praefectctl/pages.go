package main

// inPages asks for one page after the other until there are limit items (0: all), a page is
// empty, or there are no more. ask takes how many items it may ask for (0: as many as a page
// has), and returns how many it got and whether there are more.
func inPages(limit int, ask func(most int) (got int, more bool, err error)) error {
	for all := 0; ; {
		got, more, err := ask(max(0, limit-all))
		if all += got; err != nil || !more || got == 0 || limit > 0 && all >= limit {
			return err
		}
	}
}
