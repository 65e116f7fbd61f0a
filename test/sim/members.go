package sim

import "slices"

// server is a member of the cluster as the log has it, by its place among the instances.
type server struct {
	index int
	voter bool
}

// configuration are the members, by their place. It is immutable.
type configuration struct{ servers []server }

// has tells whether an instance is a member.
func (c *configuration) has(index int) bool {
	return slices.ContainsFunc(c.servers, func(s server) bool { return s.index == index })
}

// votes tells whether an instance is a voter.
func (c *configuration) votes(index int) bool { return slices.Contains(c.servers, server{index, true}) }

// voters are the places of the voters.
func (c *configuration) voters() []int {
	voters := make([]int, 0, len(c.servers))
	for _, s := range c.servers {
		if s.voter {
			voters = append(voters, s.index)
		}
	}
	return voters
}

// with is the configuration with one more member, or with that one changed.
func (c *configuration) with(s server) *configuration {
	next := c.without(s.index)
	next.servers = append(next.servers, s)
	slices.SortFunc(next.servers, func(a, b server) int { return a.index - b.index })
	return next
}

// without is the configuration without a member.
func (c *configuration) without(index int) *configuration {
	return &configuration{slices.DeleteFunc(slices.Clone(c.servers), func(s server) bool { return s.index == index })}
}

// reconfigured takes the latest configuration in the log: it counts from when it is there,
// committed or not.
func (r *raft) reconfigured() {
	for at := len(r.log); at > 0; at-- {
		if c := r.log[at-1].config; c != nil {
			r.config, r.configAt = c, at
			return
		}
	}
	r.config, r.configAt = r.in.founding, 0
}

// reconfigure puts a configuration into the leader's log, one change at a time: as the library
// does, once the one before and an entry of the term are committed.
func (r *raft) reconfigure(c *configuration) bool {
	if !r.leading || r.handing || r.configAt > r.commit || !r.ready {
		return false
	}
	r.in.w.tracef("%s makes %v the members", r.in.name, c.servers)
	before := r.config
	r.log = append(r.log, entry{term: r.term, config: c})
	r.reconfigured()
	r.in.w.check.quorum() // the new members may agree where the old ones could not
	r.replicate()
	for _, s := range before.servers {
		if !c.has(s.index) && r.in.w.chance(0.5) {
			r.replicateTo(s.index) // the library may tell it before it stops to
		}
	}
	r.advance()
	return true
}
