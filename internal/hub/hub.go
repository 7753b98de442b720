// Package hub brings rows that lie elsewhere onto this machine, and takes a finished dataset there:
// it speaks HTTPS to file servers, and the API of Hugging Face's hub to the hub and its mirrors.
//
// What an address names is first looked up, then downloaded into a cache, whole and checked, and
// only then used. A file of the hub belongs to a commit, so the cache never goes out of date; a
// file of another server is asked for again by its ETag. A download that was cut goes on where it
// ended, in the same process or in a later one.
//
// The token goes to the host of the endpoint and to no other: redirects are followed by this
// package itself, which decides for each of them. No error shows it.
package hub

import (
	"context"
	"fmt"
)

// IsRemote reports whether an input is the address of something elsewhere and not the path of a
// file. It is true for http://, too, of which Fetch says when it is refused.
func IsRemote(input string) bool {
	switch scheme, _ := schemeOf(input); scheme {
	case "https", "http", "hf":
		return true
	}
	return false
}

// Fetch brings what a source names into the cache and returns where it lies. Several processes may
// fetch the same: one downloads, the others wait for it. The error says what to do about it; it
// wraps ErrChoose, ErrTooLarge, or ctx's error.
func Fetch(ctx context.Context, cfg Config, source Source) (Fetched, error) {
	c, err := newClient(cfg)
	if err != nil {
		return Fetched{}, err
	}
	defer c.close()
	target, err := c.parse(source.Input)
	if err != nil {
		return Fetched{}, c.hide(err)
	}
	var fetched Fetched
	if target.repo == "" {
		if source.Subset != "" || source.Split != "" {
			return Fetched{}, fmt.Errorf("%s is a file, which has no subsets and splits: leave out --subset and --input-split", target.shown())
		}
		fetched, err = c.fetchFile(ctx, target)
	} else {
		fetched, err = c.fetchDataset(ctx, target, source)
	}
	return fetched, c.hide(err)
}
