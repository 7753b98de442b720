package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// PutPresence reports a consumer. The report is gone after three leases, unless it is repeated.
func (c *Conn) PutPresence(ctx context.Context, p pipeline.Presence) error {
	if !isToken(p.ID) {
		return fmt.Errorf("report consumer %.64q: its id cannot be part of a subject", p.ID)
	}
	data, err := pipeline.Encode(p)
	if err != nil {
		return fmt.Errorf("report consumer %s: %w", p.ID, err)
	}
	err = c.call(ctx, presenceSubject(p.ID), 5*time.Second, func(ctx context.Context) error {
		_, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: presenceSubject(p.ID), Data: data})
		return err
	})
	if err != nil {
		return fmt.Errorf("report consumer %s: %w", p.ID, err)
	}
	return nil
}

// Consumers returns the consumers that reported themselves within three leases, by id. Reports
// that cannot be read are left out.
func (c *Conn) Consumers(ctx context.Context) ([]pipeline.Presence, error) {
	var present []pipeline.Presence
	err := c.api(ctx, func(ctx context.Context) error {
		present = nil
		bucket, err := c.js.KeyValue(ctx, Bucket)
		if err != nil {
			return err
		}
		watcher, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
		if err != nil {
			return err
		}
		defer watcher.Stop()
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case entry := <-watcher.Updates():
				if entry == nil { // all current reports have come
					return nil
				}
				if p, ok := readPresence(entry.Key(), entry.Value()); ok {
					present = append(present, p)
				}
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list the consumers: %w", err)
	}
	slices.SortFunc(present, func(a, b pipeline.Presence) int { return cmp.Compare(a.ID, b.ID) })
	return present, nil
}

// readPresence reads what a consumer reported under a key, and whether it is a report.
func readPresence(key string, data []byte) (pipeline.Presence, bool) {
	var p pipeline.Presence
	err := json.Unmarshal(data, &p)
	return p, err == nil && p.ID == key
}
