package condition

import "slices"

// Level says how bad a condition is.
type Level string

// The levels, from harmless to worst.
const (
	// Notice is a condition that an operator may want to know of. It does no harm.
	Notice Level = "notice"
	// Degraded: everything is served, and less can be lost than the settings promise.
	Degraded Level = "degraded"
	// Unavailable: something cannot be written or read, or nothing can be decided.
	Unavailable Level = "unavailable"
)

// Health sums up conditions in one word.
type Health string

// The sums, from best to worst.
const (
	Healthy           Health = "healthy"
	HealthDegraded    Health = "degraded"
	HealthUnavailable Health = "unavailable"
)

// Health is the health of the whole under a condition of the level.
func (l Level) Health() Health {
	switch l {
	case Unavailable:
		return HealthUnavailable
	case Degraded:
		return HealthDegraded
	}
	return Healthy
}

// ExitCode is the code with which a command exits that shows the health.
func (h Health) ExitCode() int {
	switch h {
	case HealthUnavailable:
		return 4
	case HealthDegraded:
		return 3
	}
	return 0
}

// Worst sums up a list of conditions.
func Worst(list []Condition) Health {
	worst := Healthy
	for _, c := range list {
		if h := c.Level.Health(); h.ExitCode() > worst.ExitCode() {
			worst = h
		}
	}
	return worst
}

// Concerning returns the conditions of one virtual storage, and the conditions of the cluster that make
// every virtual storage unavailable.
func Concerning(list []Condition, virtualStorage string) []Condition {
	return slices.DeleteFunc(slices.Clone(list), func(c Condition) bool {
		return c.VirtualStorage != virtualStorage && (c.VirtualStorage != "" || c.Level != Unavailable)
	})
}

// Without returns the conditions of other names.
func Without(list []Condition, names ...Name) []Condition {
	return slices.DeleteFunc(slices.Clone(list), func(c Condition) bool { return slices.Contains(names, c.Name) })
}

// OfInstances returns the conditions of the instances and of their part in the cluster.
func OfInstances(list []Condition) []Condition {
	return slices.DeleteFunc(slices.Clone(list), func(c Condition) bool { return c.Kind().About != AboutInstances })
}
