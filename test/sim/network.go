package sim

import "time"

// network connects the hosts: packets may be lost, late, overtaken
// by others, or cut off in one direction only.
type network struct {
	w     *simulation
	nodes int
	cut   []bool          // [from*nodes+to]
	slow  []time.Duration // [from*nodes+to]: up to so much later
	loss  float64
}

func newNetwork(w *simulation, nodes int) *network {
	return &network{w: w, nodes: nodes, cut: make([]bool, nodes*nodes), slow: make([]time.Duration, nodes*nodes)}
}

func (n *network) open(from, to int) bool { return !n.cut[from*n.nodes+to] }

// both reports whether packets pass in both directions.
func (n *network) both(a, b int) bool { return n.open(a, b) && n.open(b, a) }

func (n *network) set(from, to int, cut bool) { n.cut[from*n.nodes+to] = cut }

func (n *network) setBoth(a, b int, cut bool) {
	n.set(a, b, cut)
	n.set(b, a, cut)
}

// delay draws how long a packet takes.
func (n *network) delay(from, to int) time.Duration {
	if from == to {
		return n.w.between(0, 20*time.Microsecond)
	}
	d := n.w.between(100*time.Microsecond, time.Millisecond)
	if slow := n.slow[from*n.nodes+to]; slow > 0 {
		d += n.w.between(0, slow)
	}
	return d
}

// heal lets everything pass again.
func (n *network) heal() {
	clear(n.cut)
	clear(n.slow)
	n.loss = 0
}

// datagram delivers a message of no connection to a process, or not, in any
// order. fn runs in the receiver's life at the time of its arrival.
func (n *network) datagram(from int, to *process, fn func()) {
	if from != to.node && (!n.open(from, to.node) || n.w.chance(n.loss)) {
		return
	}
	n.w.after(n.delay(from, to.node), func() {
		if to.up && n.open(from, to.node) {
			to.afterTrue(0, fn)
		}
	})
}

// conn is a connection of two processes: messages arrive in order, or the connection
// breaks. While the network is cut it is stuck, as TCP is, until one
// end gives up.
type conn struct {
	n      *network
	ends   [2]*process
	lives  [2]int
	pipes  [2]pipe // to ends[0], to ends[1]
	closed [2]bool // as the end knows
	broken [2]func()
}

type pipe struct {
	queue   []func()
	running bool
}

// dial makes a connection from a process to another at once; the caller waits
// for the round trip. Each end is told once that it is broken.
func (n *network) dial(from, to *process, fromBroken, toBroken func()) *conn {
	return &conn{
		n: n, ends: [2]*process{from, to}, lives: [2]int{from.life, to.life},
		broken: [2]func(){fromBroken, toBroken},
	}
}

// alive reports whether the life that an end belongs to goes on.
func (c *conn) alive(end int) bool {
	return !c.closed[end] && c.ends[end].up && c.ends[end].life == c.lives[end]
}

// send delivers fn to the other end, after the earlier messages.
func (c *conn) send(from int, fn func()) {
	if c.closed[from] {
		return
	}
	p := &c.pipes[1-from]
	p.queue = append(p.queue, fn)
	if !p.running {
		p.running = true
		c.forward(1 - from)
	}
}

// retransmit is how often a stuck connection tries again.
const retransmit = 60 * time.Millisecond

// forward delivers the first message to an end, and then the others.
func (c *conn) forward(to int) {
	p := &c.pipes[to]
	from, node := c.ends[1-to].node, c.ends[to].node
	d := c.n.delay(from, node)
	if from != node && c.n.w.chance(c.n.loss) {
		d += c.n.w.between(retransmit/4, retransmit)
	}
	c.n.w.after(d, func() {
		switch {
		case !c.n.open(from, node):
			if c.dead() {
				return // it is not sent again
			}
			c.n.w.after(c.n.w.between(retransmit/2, retransmit), func() { c.forward(to) })
			return
		case !c.alive(to):
			c.reset(1 - to)
			return
		}
		fn := p.queue[0]
		p.queue = p.queue[1:]
		c.ends[to].afterTrue(0, func() {
			if c.alive(to) {
				fn()
			}
		})
		if p.running = len(p.queue) > 0; p.running {
			c.forward(to)
		}
	})
}

// dead reports whether an end is gone, so that a message that is stuck stays so.
func (c *conn) dead() bool { return !c.alive(0) || !c.alive(1) }

// close ends the connection from one end; the messages that it has sent may still arrive.
func (c *conn) close(end int) {
	if !c.closed[end] {
		c.closed[end] = true
		c.reset(1 - end)
	}
}

// reset tells an end that the other is gone, if that can be heard there.
func (c *conn) reset(end int) {
	from, node := c.ends[1-end].node, c.ends[end].node
	if !c.n.open(from, node) {
		return // it finds out by itself
	}
	c.n.w.after(c.n.delay(from, node), func() {
		if c.n.open(from, node) && c.alive(end) {
			c.ends[end].afterTrue(0, func() { c.breakAt(end) })
		}
	})
}

// breakAt tells an end that the connection is no more.
func (c *conn) breakAt(end int) {
	if c.alive(end) {
		c.closed[end] = true
		if c.broken[end] != nil {
			c.broken[end]()
		}
	}
}
