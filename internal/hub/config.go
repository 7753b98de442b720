package hub

import (
	"errors"
	"net/http"
	"time"
)

// Errors by which a caller decides.
var (
	// ErrTooLarge is in the error where more was to be downloaded than Config.MaxBytes.
	ErrTooLarge = errors.New("larger than what may be downloaded")

	// ErrChoose is in the error where a subset or a split has to be named, or is named wrongly. The
	// error's text lists those that there are.
	ErrChoose = errors.New("a subset or a split has to be named")

	// ErrNotOurs is in the error where a push would replace what no earlier push wrote.
	ErrNotOurs = errors.New("not written by an earlier push")
)

// Defaults of a Config.
const (
	DefaultEndpoint = "https://huggingface.co"
	DefaultMaxBytes = 50 << 30
	defaultWait     = time.Second
	defaultIdle     = time.Minute
	defaultTries    = 6
)

// Config says which hub is spoken to, and how. ConfigFromEnv makes one.
type Config struct {
	Endpoint string // of the hub; https://huggingface.co by default
	Token    string // goes to the endpoint's host only; may be empty
	Offline  bool   // nothing is asked of anyone, and what is in the cache is used

	CacheDir string // where files are kept; gleaner/hub in the user's cache folder by default
	HubCache string // where huggingface_hub keeps its files, which are read when Offline; may be empty

	MaxBytes  int64 // of one Fetch, all its files together; 50 GiB by default
	PlainHTTP bool  // also http:// to other machines than this one, without the token

	// Free returns how many bytes are free on the disk of a folder. Where it is set, a download for
	// which there is no room is refused before it begins; it may be nil.
	Free func(folder string) (int64, error)

	Client *http.Client // its Transport is used; by default one with the proxies of the environment

	// Progress is called with how much of a file is there, in bytes, and with its size, or -1 where
	// the server does not say. It may be called by several goroutines, one at a time; it may be nil.
	Progress func(file string, done, total int64)

	Wait time.Duration // before the second try of a request, from where it grows; 1 s by default
	Idle time.Duration // after which a connection that brings nothing is given up; 1 min by default
}

// Source is an address, and for a dataset of the hub which of its rows.
type Source struct {
	Input  string // https://…, hf://datasets/OWNER/NAME[@REV][/PATH], or a dataset's page on the hub
	Subset string // of a dataset; may be empty where there is one, or a default one
	Split  string // of a dataset; may be empty where there is one
}

// Fetched is what an address named, on this machine.
type Fetched struct {
	Name     string   // of the dataset: hf://datasets/OWNER/NAME[@REV][/PATH], or the file's name
	Revision string   // the commit's hash; of a file elsewhere sha256: and its digest
	Subset   string   // that was chosen; empty where the dataset has but one, or for a file
	Split    string   // that was chosen; empty for a file
	Files    []string // paths, in the natural order of their names
	Shown    []string // for each file the address to show in its stead
	LeftOut  []string // paths in the dataset that belong to the split and hold no rows
}

// Push is a folder that becomes a dataset of the hub.
type Push struct {
	Repo    string // ME/NAME or hf://datasets/ME/NAME[@BRANCH]; made if it is not there
	Folder  string // with the files, as an export writes it; what is hidden stays here
	Message string // of the commit; may be empty
	Public  bool   // where it is made; one that is there stays private or public

	// Claims are patterns of path.Match: files of the dataset with such names are part of what is
	// pushed, or would be read as part of it.
	Claims []string
	Force  bool // files that no earlier push wrote are replaced, and deleted where they are claimed
}

// Pushed is a dataset of the hub after a push.
type Pushed struct {
	URL     string // its page
	Commit  string // the commit's hash
	Private bool
}
