package main

import (
	"context"
	"slices"
	"strings"
	"sync"

	"praefect/proxy/admin"
)

// told is the answer of one instance, or why it gave none.
type told[Answer any] struct {
	address, instance string
	answer            Answer
	err               error
}

// everywhere puts a question to every instance at once: to the ones at the addresses, and to the
// others that the cluster knows of. name is the name of the instance in an answer. The answers come
// in the order of their names, and the errors after them.
func everywhere[Answer any](ctx context.Context, to endpoints, name func(Answer) string, put question[Answer]) []told[Answer] {
	list := askEach(ctx, to, to.addresses, name, put)
	answered := func(instance string) bool {
		return slices.ContainsFunc(list, func(t told[Answer]) bool { return t.err == nil && t.instance == instance })
	}
	raft, err := ask(ctx, to, func(ctx context.Context, c *admin.Client) (admin.RaftStatusResponse, error) { return c.RaftStatus(ctx) })
	if err == nil { // without it only the instances at the addresses are known
		var others []string
		for _, i := range raft.Instances {
			if i.ClientAddr != "" && i.State != admin.NotMember && !answered(i.Name) && !slices.Contains(to.addresses, i.ClientAddr) {
				others = append(others, i.ClientAddr)
			}
		}
		list = append(list, askEach(ctx, to, others, name, put)...)
	}
	slices.SortStableFunc(list, func(a, b told[Answer]) int {
		switch {
		case a.err == nil && b.err != nil:
			return -1
		case a.err != nil && b.err == nil:
			return 1
		}
		return strings.Compare(a.instance, b.instance)
	})
	// Two addresses may lead to one instance.
	return slices.CompactFunc(list, func(a, b told[Answer]) bool { return a.err == nil && b.err == nil && a.instance == b.instance })
}

func askEach[Answer any](ctx context.Context, to endpoints, addresses []string, name func(Answer) string, put question[Answer]) []told[Answer] {
	list := make([]told[Answer], len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		all.Go(func() {
			list[i].address = address
			list[i].answer, list[i].err = attempt(ctx, address, to, put)
			if list[i].err == nil {
				list[i].instance = name(list[i].answer)
			}
		})
	}
	all.Wait()
	return list
}
