package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
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
// that cannot be read are left out. The first call reads them all and listens from then on, so the
// others cost nothing but the reports themselves.
func (c *Conn) Consumers(ctx context.Context) ([]pipeline.Presence, error) {
	present, err := c.roster.present(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the consumers: %w", err)
	}
	slices.SortFunc(present, func(a, b pipeline.Presence) int { return cmp.Compare(a.ID, b.ID) })
	return present, nil
}

// readAgain is after how long all reports are read again although the connection was never lost: a
// server may drop a message that it only passes on.
const readAgain = 15 * time.Minute

// A roster knows the reports of all consumers. It reads them once, and again when the connection
// was lost, and gets each that comes meanwhile. It knows at most
// pipeline.PresenceKeys consumers: who may report one can report any number, and the server passes
// on also what the bucket has no room for. A user that may not listen reads them each time.
type roster struct {
	c       *client
	reading chan struct{} // held by the one that reads

	mu         sync.Mutex
	sub        *nats.Subscription
	deaf       bool // the user may not listen
	reports    map[string]report
	keep       time.Duration // how long the server keeps a report
	readAt     time.Time
	reconnects uint64 // of the connection when they were read
}

type report struct {
	pipeline.Presence
	heard time.Time
	until time.Time // when the server drops it
}

func newRoster(c *client) *roster {
	r := &roster{c: c, reading: make(chan struct{}, 1), reports: map[string]report{}}
	c.deaf = r.denied
	return r
}

func (r *roster) present(ctx context.Context) ([]pipeline.Presence, error) {
	select {
	case r.reading <- struct{}{}:
		defer func() { <-r.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := r.listen(); err != nil {
		return nil, err
	}
	if r.stale() {
		if err := r.c.api(ctx, r.read); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var present []pipeline.Presence
	for id, p := range r.reports {
		if time.Now().After(p.until) {
			delete(r.reports, id)
			r.readAt = time.Time{} // perhaps the bucket is gone, and takes no reports
			continue
		}
		present = append(present, p.Presence)
	}
	return present, nil
}

// stale reports whether reports may have been missed.
func (r *roster) stale() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deaf || r.readAt.IsZero() || time.Since(r.readAt) > readAgain || r.reconnects != r.c.nc.Stats().Reconnects
}

// listen has the reports that come from now on taken in.
func (r *roster) listen() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sub != nil || r.deaf {
		return nil
	}
	sub, err := r.c.nc.Subscribe(presenceSubject("*"), r.hear)
	r.sub = sub
	return err
}

// denied takes in that the user may not listen, if that is what the server says.
func (r *roster) denied(err error) bool {
	if !strings.Contains(err.Error(), presenceSubject("*")) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaf = true
	if r.sub != nil {
		_ = r.sub.Unsubscribe() // the server has none
	}
	return true
}

func (r *roster) hear(msg *nats.Msg) {
	id := strings.TrimPrefix(msg.Subject, presenceSubject(""))
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := readPresence(id, msg.Data); ok {
		if _, known := r.reports[id]; !known && len(r.reports) >= pipeline.PresenceKeys {
			return
		}
		r.reports[id] = report{p, time.Now(), time.Now().Add(r.keep)}
	} else if msg.Header.Get("KV-Operation") != "" {
		delete(r.reports, id)
	}
}

// read reads all reports. How old one is the server's clock alone says.
func (r *roster) read(ctx context.Context) error {
	began, reconnects := time.Now(), r.c.nc.Stats().Reconnects
	bucket, err := r.c.js.KeyValue(ctx, Bucket)
	if err != nil {
		return err
	}
	status, err := bucket.Status(ctx)
	if err != nil {
		return err
	}
	watcher, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer watcher.Stop()
	now := began
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok && !s.StreamInfo().TimeStamp.IsZero() {
		now = s.StreamInfo().TimeStamp
	}
	reports := map[string]report{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry := <-watcher.Updates():
			if entry == nil { // all current reports have come
				r.replace(reports, status.TTL(), began, reconnects)
				return nil
			}
			if p, ok := readPresence(entry.Key(), entry.Value()); ok && len(reports) < pipeline.PresenceKeys {
				reports[entry.Key()] = report{p, began, began.Add(status.TTL() - now.Sub(entry.Created()))}
			}
		}
	}
}

// replace takes in what was read. What was heard since is newer.
func (r *roster) replace(reports map[string]report, keep time.Duration, began time.Time, reconnects uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.reports {
		if p.heard.After(began) {
			p.until = p.heard.Add(keep)
			reports[id] = p
		}
	}
	r.reports, r.keep, r.readAt, r.reconnects = reports, keep, time.Now(), reconnects
}

// readPresence reads what a consumer reported under a key, and whether it is a report.
func readPresence(key string, data []byte) (pipeline.Presence, bool) {
	var p pipeline.Presence
	err := json.Unmarshal(data, &p)
	return p, err == nil && p.ID == key
}
