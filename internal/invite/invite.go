// Package invite makes and reads invitations: one string that holds all that a helper needs to work
// for a team's run, the address of its NATS server, credentials, and the name of the run. It is a
// secret, so no error of this package repeats any of it.
package invite

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// An Invitation is what a helper is given.
type Invitation struct {
	NATS  string `json:"nats"`            // the server's address, with user and password if the server wants those
	Creds string `json:"creds,omitempty"` // a user's JWT and the seed of the user's key
	Run   string `json:"run"`
	Model string `json:"model,omitempty"` // of the run; for words only
	// Expires is when the invitation ends, in seconds since 1970; 0: never.
	Expires int64 `json:"expires,omitempty"`
}

const (
	prefix   = "gleaner1."
	family   = "gleaner" // how all versions begin
	sumBytes = 4
	most     = 64 << 10 // bytes of what is read, unpacked
)

// Text returns the invitation as one string, which Read reads.
func (i Invitation) Text() string {
	plain, err := json.Marshal(i)
	if err != nil {
		panic(err) // strings and a number
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		panic(err) // the level is one
	}
	_, _ = w.Write(plain) // a buffer takes everything
	_ = w.Close()
	sum := sha256.Sum256(packed.Bytes())
	// The length comes first, so that one that is cut off can be told from one that is altered.
	data := binary.AppendUvarint(nil, uint64(sumBytes+packed.Len()))
	data = append(append(data, sum[:sumBytes]...), packed.Bytes()...)
	return prefix + base64.RawURLEncoding.EncodeToString(data)
}

// again is what to do about a string that is none.
const again = "ask for it again with `gleaner invite`, and copy the whole line, from " + prefix + " to its end"

// Read reads an invitation, also if it came with line breaks or in quotes. Its errors say what is
// wrong with it and what to do. Whether it has expired is not looked at.
func Read(text string) (Invitation, error) {
	word := strings.Trim(strings.Join(strings.FieldsFunc(text, unicode.IsSpace), ""), `"'`+"`")
	body, found := strings.CutPrefix(word, prefix)
	switch {
	case word == "":
		return Invitation{}, errors.New("the invitation is empty: " + again)
	case !found && isNewer(word):
		return Invitation{}, errors.New("the invitation was made by a newer version of Gleaner: update this program, or have it made with this version")
	case !found && (strings.Contains(word, "eyJ") || strings.Contains(word, "BEGIN")):
		return Invitation{}, errors.New("these are credentials of NATS and no invitation: they belong into NATS_CREDS, with NATS_URL; or " + again)
	case !found:
		return Invitation{}, errors.New("this is no invitation: " + again)
	}
	data, err := base64.RawURLEncoding.DecodeString(body)
	if at := new(base64.CorruptInputError); errors.As(err, at) && int(*at) < len(body)/4*4 {
		return Invitation{}, fmt.Errorf("the invitation has a character that cannot be in it, number %d: %s", len(prefix)+int(*at)+1, again)
	}
	packed, err := checked(data, len(body))
	if err != nil {
		return Invitation{}, err
	}
	var i Invitation
	if err := json.NewDecoder(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), most)).Decode(&i); err != nil {
		return Invitation{}, errors.New("the invitation cannot be read, although it is whole: " + again)
	}
	if i.NATS == "" || i.Run == "" {
		return Invitation{}, errors.New("the invitation names no server or no run: " + again)
	}
	return i, nil
}

// isNewer reports whether a word begins as invitations of another version do.
func isNewer(word string) bool {
	rest, found := strings.CutPrefix(word, family)
	digits := strings.TrimLeft(rest, "0123456789")
	return found && len(digits) < len(rest) && strings.HasPrefix(digits, ".")
}

// checked returns what comes after length and checksum. Characters is how long the encoded form is.
func checked(data []byte, characters int) ([]byte, error) {
	length, n := binary.Uvarint(data)
	if n <= 0 || length > most {
		return nil, errors.New("the invitation is cut off or altered: " + again)
	}
	data = data[n:]
	if missing := int(length) - len(data); missing > 0 {
		whole := base64.RawURLEncoding.EncodedLen(n + int(length))
		return nil, fmt.Errorf("the invitation is cut off: it has %d of its %d characters: %s", len(prefix)+characters, len(prefix)+whole, again)
	} else if missing < 0 {
		return nil, fmt.Errorf("the invitation has more behind its end: %s", again)
	}
	sum := sha256.Sum256(data[min(sumBytes, len(data)):])
	if len(data) < sumBytes || !bytes.Equal(sum[:sumBytes], data[:sumBytes]) {
		return nil, errors.New("the invitation is altered, its checksum does not fit: " + again)
	}
	return data[sumBytes:], nil
}

// Until returns when the invitation ends, or the zero time for never.
func (i Invitation) Until() time.Time {
	if i.Expires == 0 {
		return time.Time{}
	}
	return time.Unix(i.Expires, 0).UTC()
}

// Check returns an error that says so if the invitation has expired.
func (i Invitation) Check(now time.Time) error {
	if until := i.Until(); !until.IsZero() && !now.Before(until) {
		return fmt.Errorf("the invitation for run %s expired on %s: ask for a new one (`gleaner invite --run %s`)", i.Run, until.Format("2006-01-02 15:04 MST"), i.Run)
	}
	return nil
}
