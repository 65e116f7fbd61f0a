package main

// inPages asks for one page after the other until there are limit items (0: all), a page is
// empty, or there are no more. ask takes how many items it may ask for (0: as many as a page
// has) and the last item of the page before, and returns its page and whether there are more.
func inPages[Item any](limit int, ask func(most int, last *Item) (page []Item, more bool, err error)) ([]Item, error) {
	all, last := []Item{}, (*Item)(nil)
	for {
		page, more, err := ask(max(0, limit-len(all)), last)
		all = append(all, page...)
		if err != nil || !more || len(page) == 0 || limit > 0 && len(all) >= limit {
			return all, err
		}
		last = &page[len(page)-1]
	}
}
