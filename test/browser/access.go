package browser

import "slices"

// Control is something that a user can operate, as the browser tells programs that read pages
// aloud.
type Control struct {
	// Role is the kind of control, such as "button", and Name its label.
	Role, Name string
	// Focusable tells that the keyboard reaches it, Disabled that it does nothing now.
	Focusable, Disabled bool
}

// controlRoles are the roles of elements that a user operates.
var controlRoles = []string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "switch", "slider", "tab", "menuitem"}

// Controls returns the controls of the page, from the browser's accessibility tree.
func (p *Page) Controls() []Control {
	p.t.Helper()
	type value struct{ Value any }
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name value
			Properties []struct {
				Name  string
				Value value
			}
		}
	}
	p.call("Accessibility.enable", map[string]any{}, nil)
	p.call("Accessibility.getFullAXTree", map[string]any{}, &tree)
	var all []Control
	for _, n := range tree.Nodes {
		role, _ := n.Role.Value.(string)
		if n.Ignored || !slices.Contains(controlRoles, role) {
			continue
		}
		name, _ := n.Name.Value.(string)
		c := Control{Role: role, Name: name}
		for _, property := range n.Properties {
			switch on, _ := property.Value.Value.(bool); property.Name {
			case "focusable":
				c.Focusable = on
			case "disabled":
				c.Disabled = on
			}
		}
		all = append(all, c)
	}
	return all
}
