package console

import (
	"slices"
	"strings"
	"time"
)

// changeRequest is a change that a page asks for, first as a plan.
type changeRequest struct {
	Verb           string `json:"verb"`
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
	Storage        string `json:"storage"`
	Instance       string `json:"instance"`
	ForMillis      int64  `json:"for_ms"`
	Force          bool   `json:"force"`
	Why            string `json:"why"`
	// RequestID and Epoch come from the plan; Confirm is the typed text, where the plan wants it.
	RequestID string `json:"request_id"`
	Epoch     uint64 `json:"epoch"`
	Confirm   string `json:"confirm"`
}

// command is the line of praefectctl that does the same.
func (o changeRequest) command() string {
	words := []string{"praefectctl"}
	flag := func(name, value string) {
		switch {
		case value == "":
		case strings.HasPrefix(value, "-"):
			words = append(words, "-"+name+"="+value)
		default:
			words = append(words, "-"+name, value)
		}
	}
	switch o.Verb {
	case "transfer":
		words = append(words, "raft", "transfer")
		if o.Instance != "" {
			words = append(words, o.Instance)
		}
	case "queue-retry":
		words = append(words, "queue", "retry")
		flag("virtual-storage", o.VirtualStorage)
		flag("repository", o.RelativePath)
	case "queue-drop":
		words = append(words, "queue", "drop")
		flag("virtual-storage", o.VirtualStorage)
		flag("repository", o.RelativePath)
		flag("state", "dead")
	case "accept-dataloss":
		words = append(words, o.Verb)
		flag("virtual-storage", o.VirtualStorage)
		flag("repository", o.RelativePath)
		flag("authoritative-storage", o.Storage)
	case "verify-all":
		words = append(words, "verify", "-all")
		flag("virtual-storage", o.VirtualStorage)
	case "verify":
		words = append(words, o.Verb)
		flag("virtual-storage", o.VirtualStorage)
		words = append(words, o.RelativePath)
	default:
		words = append(words, o.Verb)
		if o.Storage != "" {
			words = append(words, o.Storage)
		}
		flag("virtual-storage", o.VirtualStorage)
	}
	if o.ForMillis > 0 {
		flag("for", (time.Duration(o.ForMillis) * time.Millisecond).String())
	}
	if o.Force {
		words = append(words, "-force")
	}
	flag("why", o.Why)
	for i, word := range words {
		words[i] = quote(word)
	}
	return strings.Join(words, " ")
}

// quote makes a word that a shell takes as it is.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("@%_+=:,./-"), r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
