package config

import "fmt"

// Warning is something that an operator should look at although the settings
// can be used.
type Warning struct {
	// Key is the dotted key, without positions in arrays.
	Key string
	// Line is where it stands, from 1; 0 where the text has no such place.
	Line int
	// Text names the doubt.
	Text string
	// Unknown tells that this version does not know the key.
	Unknown bool
}

// String returns the notice for people.
func (w Warning) String() string {
	if w.Line == 0 {
		return fmt.Sprintf("%s: %s", w.Key, w.Text)
	}
	return fmt.Sprintf("%s (line %d): %s", w.Key, w.Line, w.Text)
}

// UnknownKeys is how many keys of the text this version does not know.
func (c *Config) UnknownKeys() (n int) {
	for _, w := range c.Warnings {
		if w.Unknown {
			n++
		}
	}
	return n
}

// warn notes the warnings about valid settings.
func (c *Config) warn(found *findings) {
	if mode := c.Database.SSLMode; mode == "prefer" || mode == "allow" {
		c.Warnings = append(c.Warnings, Warning{
			Key: "database.sslmode", Line: found.doc.position(keyPath("database", "sslmode")).line,
			Text: fmt.Sprintf("%q sends the password and the queue in plain text if the server offers no TLS: write 'require' or stricter, "+
				"or 'disable' if plain text is meant", mode),
		})
	}
}
