// Package hubtest is a hub in the test's process: it speaks the API of Hugging Face's hub as its
// Python library uses it, with a storage host of its own that large files are redirected to, with
// tokens, private and gated datasets, commits, and faults to choose. The real library is run
// against it by a test of package hub.
package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Server is a hub. It is made by Start and may be used by many goroutines.
type Server struct {
	URL        string // of the hub: HF_ENDPOINT
	StorageURL string // of the host that large files lie on, which refuses a token

	PageSize int   // files in one page of a list; 1,000 by default
	PartSize int64 // bytes from which a large file is uploaded in parts of this size; 0: never

	mu       sync.Mutex
	repos    map[string]*repo
	accounts map[string]account // by token
	objects  map[string][]byte  // large files, by SHA-256
	parts    map[string][]byte  // of those that are being uploaded, by URL
	faults   []*Disturbance
	seen     []Seen
	commits  int
}

// Repo is what a dataset begins with.
type Repo struct {
	Files          map[string]string // by path
	Private, Gated bool
}

// Seen is a request that came.
type Seen struct {
	Host          string // hub or storage
	Method, Path  string // as it was escaped
	Authorization string
	Range         string
}

// Commit is one of a dataset's.
type Commit struct {
	OID, Title string
	Files      map[string]string // by path, all that there are
}

// Disturbance is a fault. It takes the first requests that match, and the hub the others.
type Disturbance struct {
	Path  string // in the path of the request; empty: any
	Times int    // how often; 0: always

	// Handle answers. next is what answers without the fault.
	Handle func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

type account struct {
	user  string
	write bool
	terms []string // gated datasets of which the account has accepted the terms
}

type repo struct {
	Repo
	refs    map[string]string // branch or tag: commit
	commits []commit
}

type commit struct {
	oid, title string
	files      map[string]file
}

type file struct {
	data []byte // nil for a large file
	oid  string // of the git blob, for a large file of its pointer
	lfs  string // SHA-256; empty for others
	size int64
}

// Start runs a hub until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		PageSize: 1000, repos: map[string]*repo{}, accounts: map[string]account{},
		objects: map[string][]byte{}, parts: map[string][]byte{},
	}
	hub := httptest.NewServer(s.watched("hub", http.HandlerFunc(s.hub)))
	storage := httptest.NewServer(s.watched("storage", http.HandlerFunc(s.storage)))
	s.URL, s.StorageURL = hub.URL, storage.URL
	t.Cleanup(func() {
		hub.CloseClientConnections()
		storage.CloseClientConnections()
		hub.Close()
		storage.Close()
	})
	return s
}

// watched notes a request, and gives it to the first fault that takes it.
func (s *Server) watched(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, Seen{host, r.Method, r.URL.EscapedPath(), r.Header.Get("Authorization"), r.Header.Get("Range")})
		var fault *Disturbance
		for i, d := range s.faults {
			if strings.Contains(r.URL.Path, d.Path) {
				fault = d
				if d.Times--; d.Times == 0 {
					s.faults = slices.Delete(s.faults, i, i+1)
				}
				break
			}
		}
		s.mu.Unlock()
		if fault != nil {
			fault.Handle(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Add makes a dataset with one commit on the branch main, and returns the commit.
func (s *Server) Add(id string, r Repo) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := &repo{Repo: r, refs: map[string]string{}}
	s.repos[id] = made
	files := map[string]file{".gitattributes": s.fileOf(".gitattributes", []byte("*.parquet filter=lfs\n"))}
	for path, data := range r.Files {
		files[path] = s.fileOf(path, []byte(data))
	}
	return s.commit(made, "main", "initial commit", files)
}

// Change makes a commit that adds, replaces and, where the text is empty, takes away files. It
// makes the branch if it is not there.
func (s *Server) Change(id, branch string, changes map[string]string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repos[id]
	from, ok := r.refs[branch]
	if !ok {
		from = r.refs["main"]
	}
	files := maps.Clone(r.at(from).files)
	for path, data := range changes {
		if data == "" {
			delete(files, path)
		} else {
			files[path] = s.fileOf(path, []byte(data))
		}
	}
	return s.commit(r, branch, "a change by hand", files)
}

// Account makes a token known, of a user who has accepted the terms of some gated datasets.
func (s *Server) Account(token, user string, write bool, terms ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[token] = account{user, write, terms}
}

// Disturb adds a fault.
func (s *Server) Disturb(d Disturbance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &d)
}

// Requests returns what came, and forgets it.
func (s *Server) Requests() []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// Commits returns the commits of a dataset, the newest last; none where there is no such dataset.
func (s *Server) Commits(id string) (all []Commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.repos[id]
	if !ok {
		return nil
	}
	for _, c := range r.commits {
		files := map[string]string{}
		for path, f := range c.files {
			files[path] = string(s.content(f))
		}
		all = append(all, Commit{c.oid, c.title, files})
	}
	return all
}

// IsPrivate reports whether a dataset is private.
func (s *Server) IsPrivate(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[id] != nil && s.repos[id].Private
}

// fileOf stores a file as the hub does: what is large or Parquet lies on the storage host.
func (s *Server) fileOf(path string, data []byte) file {
	if !isLarge(path, int64(len(data))) {
		return file{data: data, oid: gitHash(data), size: int64(len(data))}
	}
	sum := sha256.Sum256(data)
	oid := hex.EncodeToString(sum[:])
	s.objects[oid] = data
	return large(oid, int64(len(data)))
}

func large(oid string, size int64) file {
	return file{oid: gitHash([]byte(pointer(oid, size))), lfs: oid, size: size}
}

// pointer is the text that git keeps of a large file.
func pointer(oid string, size int64) string {
	return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, size)
}

func isLarge(path string, size int64) bool {
	return size > 0 && strings.HasSuffix(path, ".parquet") || size > 10<<20
}

func gitHash(data []byte) string {
	sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data))
	return hex.EncodeToString(sum[:])
}

// content returns the bytes of a file. The mutex is held.
func (s *Server) content(f file) []byte {
	if f.lfs != "" {
		return s.objects[f.lfs]
	}
	return f.data
}

// commit adds a commit to a branch. The mutex is held.
func (s *Server) commit(r *repo, branch, title string, files map[string]file) string {
	s.commits++
	sum := sha1.Sum(fmt.Appendf(nil, "commit %d %s", s.commits, title))
	oid := hex.EncodeToString(sum[:])
	r.commits = append(r.commits, commit{oid, title, files})
	r.refs[branch] = oid
	return oid
}

// at returns the commit of a branch, a tag or a hash, or nil.
func (r *repo) at(revision string) *commit {
	if oid, ok := r.refs[revision]; ok {
		revision = oid
	}
	for i := range r.commits {
		if r.commits[i].oid == revision {
			return &r.commits[i]
		}
	}
	return nil
}
