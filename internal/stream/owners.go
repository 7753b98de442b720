package stream

import (
	"context"
	"errors"
	"fmt"

	"gleaner/internal/pipeline"
)

// GuardWith lets a connection ask before it writes anything to the streams, or takes something from
// them, for the side of the store: confirm returns an error if that must not be. What consumers do
// is never guarded. It is called before the connection is used.
func (c *Conn) GuardWith(confirm func(ctx context.Context) error) { c.owner.confirm = confirm }

// Connections counts the connections to a server that were made so far.
func (c *Conn) Connections() uint64 { return c.nc.Stats().Reconnects + 1 }

// Own says for which store this connection makes streams. Those of another one are a Fatal failure
// of Ensure and EnsureRun then.
func (c *Conn) Own(store pipeline.StoreIdentity) {
	if store.ID != "" {
		c.owner.store.Store(&store)
	}
}

// Owners returns whose the streams are. Those that do not exist are left out. Briefly asks for the
// queue alone.
func (c *Conn) Owners(ctx context.Context, briefly bool) ([]pipeline.StreamOwner, error) {
	names := ownedStreams()
	if briefly {
		names = names[:1]
	}
	var owners []pipeline.StreamOwner
	for _, name := range names {
		is, err := c.provisioner.streamConfig(ctx, name)
		switch {
		case isAbsent(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("ask whose the streams are: %w", err)
		}
		owners = append(owners, pipeline.StreamOwner{Stream: name, StoreIdentity: ownerOf(is)})
	}
	return owners, nil
}

// WriteOwner writes on the streams that exist whose they are, as Own has said. One that says it
// already stays as it is, unless replace is set.
func (c *Conn) WriteOwner(ctx context.Context, replace bool) error {
	store := c.owner.store.Load()
	if store == nil {
		return errors.New("write whose the streams are: the store has no id")
	}
	for _, name := range ownedStreams() {
		is, err := c.provisioner.streamConfig(ctx, name)
		if isAbsent(err) {
			continue
		}
		if before := ownerOf(is); err == nil && before != *store && (before.ID == "" || before.ID == store.ID || replace) {
			is.Metadata = withOwner(is.Metadata, *store)
			err = c.api(ctx, func(ctx context.Context) error {
				_, err := c.js.UpdateStream(ctx, is)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("write on stream %s whose it is: %w", name, err)
		}
	}
	return nil
}
