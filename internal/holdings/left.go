package holdings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// forgetAfter is how old the file of a dead consumer of another run may become.
const forgetAfter = 24 * time.Hour

// A Left is what a consumer that is gone has left behind.
type Left struct {
	Consumer string
	Replies  []string // where to hand back what it held, as far as that is certainly still its own
}

// Streams are where work is handed back.
type Streams interface {
	HandBackFor(ctx context.Context, replies []string) error
	ForgetConsumer(ctx context.Context, id string) error
}

// HandBack hands back what dead consumers of this machine have left of the run with this uid, and
// returns it. An error says what goes on only after its lease.
func HandBack(ctx context.Context, folder, uid string, streams Streams) (handed []Left, err error) {
	all, err := TakeOver(folder, uid, time.Now())
	for _, left := range all {
		failed := streams.HandBackFor(ctx, left.Replies)
		if failed == nil {
			failed = streams.ForgetConsumer(ctx, left.Consumer)
		}
		if err = errors.Join(err, failed); failed == nil {
			handed = append(handed, left)
		}
	}
	return handed, err
}

// TakeOver returns what dead consumers of this machine have left of the run with this uid, and
// removes their files. Files of other runs stay for a day. Those of consumers that live are left
// alone.
func TakeOver(folder, uid string, now time.Time) ([]Left, error) {
	paths, err := filepath.Glob(filepath.Join(escaped(folder), "*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("what earlier consumers held: %w", err)
	}
	var all []Left
	for _, path := range paths {
		if !strings.HasPrefix(filepath.Base(path), uid+".") && !old(path, now) {
			continue
		}
		left, ok, failed := takeOver(path, uid, now)
		if err = errors.Join(err, failed); ok {
			all = append(all, left)
		}
	}
	return all, err
}

// escaped returns a path for a pattern.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func old(path string, now time.Time) bool {
	info, err := os.Stat(path)
	return err == nil && now.Sub(info.ModTime()) > forgetAfter
}

// takeOver reads and removes one file, unless its owner lives or another process was faster.
func takeOver(path, uid string, now time.Time) (left Left, ok bool, err error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDWR), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if errors.Is(err, os.ErrNotExist) || err == nil && !locked {
		return left, false, nil
	}
	if err != nil {
		return left, false, fmt.Errorf("what an earlier consumer held: %w", err)
	}
	defer lock.Close()
	is, err := lock.Stat()
	there, gone := os.Stat(path)
	if err != nil || gone != nil || !os.SameFile(is, there) {
		return left, false, err // another process had the lock before, and has removed the file
	}
	data, err := os.ReadFile(path)
	if removed := os.Remove(path); err != nil || removed != nil {
		return left, false, errors.Join(err, removed)
	}
	left, ok = read(string(data), uid, now)
	return left, ok, nil
}

// read returns what a file says, unless it is of another run or of the time before the machine was
// started.
func read(data, uid string, now time.Time) (left Left, ok bool) {
	header, lines, _ := strings.Cut(data, "\n")
	var owner Owner
	if json.Unmarshal([]byte(header), &owner) != nil || owner.UID != uid || owner.Boot == "" || owner.Boot != bootID() {
		return left, false
	}
	held := map[string]time.Time{}
	for line := range strings.Lines(lines) {
		line, whole := strings.CutSuffix(line, "\n")
		millis, reply, renewed := strings.Cut(strings.TrimPrefix(line, "+"), " ")
		at, err := strconv.ParseInt(millis, 10, 64)
		switch {
		case !whole: // it died as it wrote
		case strings.HasPrefix(line, "-"):
			delete(held, line[1:])
		case renewed && err == nil:
			held[reply] = time.UnixMilli(at)
		}
	}
	left.Consumer = owner.Consumer
	for reply, at := range held {
		if age := now.Sub(at); age >= 0 && age < owner.Lease*9/10 {
			left.Replies = append(left.Replies, reply)
		}
	}
	slices.Sort(left.Replies)
	return left, true
}

// bootID returns what tells the time since the machine was started from all others, or nothing.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
