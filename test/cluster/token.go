package cluster

import (
	"errors"
	"fmt"
	"os"
)

// UseToken has all later clients, and praefectctl, show another token. Clients that are
// connected keep theirs. No client of Conn may be at work.
func (c *Cluster) UseToken(token string) error {
	if err := os.WriteFile(c.TokenFile, []byte(token), 0o600); err != nil {
		return fmt.Errorf("replace the clients' token: %w", err)
	}
	c.Token = token
	var faults []error
	for _, i := range c.Instances {
		var err error
		i.conn, err = redial(i.conn, i.Addr, token)
		faults = append(faults, err)
	}
	if b := c.Balancer; b != nil {
		var err error
		b.conn, err = redial(b.conn, b.Addr, token)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// UseToken gives the storage another secret, which it takes at its next start.
func (s *Storage) UseToken(token string) (err error) {
	if err := os.WriteFile(s.TokenFile, []byte(token), 0o600); err != nil {
		return fmt.Errorf("replace the token of %s: %w", s.Label(), err)
	}
	s.Token = token
	s.conn, err = redial(s.conn, s.Addr, token)
	return err
}
