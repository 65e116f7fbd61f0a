package cluster

import (
	"context"
	"errors"
	"fmt"

	"praefect/proxy/admin"
)

// Leader is the instance that leads Raft now.
func (c *Cluster) Leader(ctx context.Context) (*Instance, error) {
	var leader *Instance
	err := c.asked(ctx, func(client *admin.Client) error {
		answer, err := client.RaftStatus(ctx)
		if err != nil {
			return err
		}
		for _, i := range c.Instances {
			if i.Label() == answer.Leader {
				leader = i
				return nil
			}
		}
		return fmt.Errorf("the leader is %q, which is none of ours", answer.Leader)
	})
	if err != nil {
		return nil, fmt.Errorf("find the leader: %w", err)
	}
	return leader, nil
}

// Primary is the storage that takes the writes of a virtual storage now.
func (c *Cluster) Primary(ctx context.Context, virtualStorage string) (*Storage, error) {
	var primary *Storage
	err := c.asked(ctx, func(client *admin.Client) error {
		answer, err := client.Status(ctx, admin.StatusRequest{VirtualStorage: virtualStorage})
		if err != nil {
			return err
		}
		for _, v := range answer.VirtualStorages {
			if primary = c.Storage(v.Name, v.Primary); primary != nil {
				return nil
			}
		}
		return errors.New("there is none")
	})
	if err != nil {
		return nil, fmt.Errorf("find the primary of %q: %w", virtualStorage, err)
	}
	return primary, nil
}

// asked asks the instances that are ready, one after the other, until one has an
// answer: others may know only a former state.
func (c *Cluster) asked(ctx context.Context, question func(*admin.Client) error) error {
	var faults []error
	for _, i := range c.Instances {
		err := i.Ready(ctx)
		if err == nil {
			if err = question(i.Admin()); err == nil {
				return nil
			}
		}
		faults = append(faults, fmt.Errorf("%s: %w", i.Label(), err))
	}
	return errors.Join(faults...)
}
