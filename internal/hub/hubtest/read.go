package hubtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hub answers what is asked of the hub's host.
func (s *Server) hub(w http.ResponseWriter, r *http.Request) {
	var parts []string
	for p := range strings.SplitSeq(strings.Trim(r.URL.EscapedPath(), "/"), "/") {
		decoded, err := url.PathUnescape(p)
		if err != nil {
			refuse(w, http.StatusBadRequest, "", "bad path")
			return
		}
		parts = append(parts, decoded)
	}
	who, known := s.account(r)
	if r.Header.Get("Authorization") != "" && !known {
		refuse(w, http.StatusUnauthorized, "", "Invalid credentials in Authorization header")
		return
	}
	at := func(prefix ...string) bool {
		return len(parts) >= len(prefix) && slices.Equal(parts[:len(prefix)], prefix)
	}
	switch {
	case at("api", "whoami-v2") && known:
		role := map[bool]string{true: "write", false: "read"}[who.write]
		answer(w, map[string]any{"type": "user", "name": who.user, "auth": map[string]any{"accessToken": map[string]any{"role": role}}, "orgs": []any{}})
	case at("api", "validate-yaml"):
		answer(w, map[string]any{"errors": []any{}, "warnings": []any{}})
	case at("api", "repos", "create") && r.Method == http.MethodPost:
		s.create(w, r, who)
	case at("api", "datasets") && len(parts) == 2:
		s.search(w, r)
	case at("api", "datasets") && len(parts) >= 4:
		s.api(w, r, parts[2]+"/"+parts[3], parts[4:])
	case at("datasets") && len(parts) >= 3:
		s.pages(w, r, parts[1]+"/"+parts[2], parts[3:])
	default:
		refuse(w, http.StatusNotFound, "", "Sorry, we can't find the page you are looking for.")
	}
}

func (s *Server) account(r *http.Request) (account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.accounts[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	return a, ok
}

// repo returns a dataset that the request may see, or answers that there is none.
func (s *Server) repo(w http.ResponseWriter, r *http.Request, id string) *repo {
	who, known := s.account(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.repos[id]
	owner, _, _ := strings.Cut(id, "/")
	switch {
	case found != nil && (!found.Private || who.user == owner):
		return found
	case !known:
		refuse(w, http.StatusUnauthorized, "", "Invalid username or password.")
	default:
		refuse(w, http.StatusNotFound, "RepoNotFound", "Repository not found")
	}
	return nil
}

// api answers what is asked of a dataset.
func (s *Server) api(w http.ResponseWriter, r *http.Request, id string, parts []string) {
	found := s.repo(w, r, id)
	if found == nil {
		return
	}
	kind, revision := "revision", "main"
	if len(parts) > 0 {
		kind = parts[0]
	}
	if len(parts) > 1 {
		revision = parts[1]
	}
	if kind == "refs" {
		s.refs(w, found)
		return
	}
	s.mu.Lock()
	c := found.at(revision)
	s.mu.Unlock()
	if c == nil {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
		return
	}
	switch kind {
	case "revision":
		siblings := []any{}
		for _, path := range slices.Sorted(maps.Keys(c.files)) {
			siblings = append(siblings, map[string]any{"rfilename": path})
		}
		answer(w, map[string]any{"id": id, "_id": "1", "sha": c.oid, "private": found.Private, "gated": found.Gated, "disabled": false, "siblings": siblings, "tags": []any{}, "downloads": 0, "likes": 0})
	case "tree":
		s.tree(w, r, c, strings.Join(parts[2:], "/"))
	case "preupload":
		s.preupload(w, r, id, c)
	case "commit":
		s.pushed(w, r, id, revision)
	default:
		refuse(w, http.StatusNotFound, "", "no such API")
	}
}

func (s *Server) refs(w http.ResponseWriter, r *repo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var branches []any
	for _, name := range slices.Sorted(maps.Keys(r.refs)) {
		branches = append(branches, map[string]any{"name": name, "ref": "refs/heads/" + name, "targetCommit": r.refs[name]})
	}
	answer(w, map[string]any{"branches": branches, "tags": []any{}, "converts": []any{}})
}

// search lists the public datasets of an author.
func (s *Server) search(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.repos)) {
		if strings.HasPrefix(id, r.URL.Query().Get("author")+"/") && !s.repos[id].Private {
			all = append(all, map[string]any{"id": id, "_id": "1"})
		}
	}
	answer(w, all)
}

// tree lists what a folder has, and with recursive what is below, in pages: files and folders.
func (s *Server) tree(w http.ResponseWriter, r *http.Request, c *commit, folder string) {
	recursive := strings.EqualFold(r.URL.Query().Get("recursive"), "true")
	paths := childrenOf(c, folder, recursive)
	if _, isFile := c.files[folder]; folder != "" && !isFile && len(paths) == 0 {
		refuse(w, http.StatusNotFound, "EntryNotFound", folder+" does not exist on this revision")
		return
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	from = min(max(from, 0), len(paths))
	to := min(from+s.PageSize, len(paths))
	if to < len(paths) {
		next := *r.URL
		query := next.Query()
		query.Set("cursor", strconv.Itoa(to))
		next.RawQuery = query.Encode()
		w.Header().Set("Link", fmt.Sprintf(`<%s%s>; rel="next"`, s.URL, next.String()))
	}
	entries := []any{}
	for _, path := range paths[from:to] {
		f, isFile := c.files[path]
		e := map[string]any{"type": "file", "oid": f.oid, "size": f.size, "path": path}
		if !isFile {
			e = map[string]any{"type": "directory", "oid": gitHash([]byte(path)), "size": 0, "path": path}
		}
		if f.lfs != "" {
			e["lfs"] = map[string]any{"oid": f.lfs, "size": f.size, "pointerSize": len(pointer(f.lfs, f.size))}
		}
		entries = append(entries, e)
	}
	answer(w, entries)
}

// childrenOf returns the paths of the files and folders in a folder, or of all that are below.
func childrenOf(c *commit, folder string, recursive bool) []string {
	found := map[string]bool{}
	for path := range c.files {
		inside := path
		if folder != "" {
			var ok bool
			if inside, ok = strings.CutPrefix(path, folder+"/"); !ok {
				continue
			}
		}
		parts := strings.Split(inside, "/")
		for n := range parts {
			if recursive || n == 0 {
				found[strings.TrimPrefix(folder+"/"+strings.Join(parts[:n+1], "/"), "/")] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// pages answers what is asked of a dataset's pages and files.
func (s *Server) pages(w http.ResponseWriter, r *http.Request, id string, parts []string) {
	if bare, ok := strings.CutSuffix(id, ".git"); ok {
		s.lfs(w, r, bare, strings.Join(parts, "/"))
		return
	}
	found := s.repo(w, r, id)
	if found == nil {
		return
	}
	if len(parts) < 3 || parts[0] != "resolve" && parts[0] != "raw" {
		Page()(w, r, nil)
		return
	}
	who, known := s.account(r)
	owner, _, _ := strings.Cut(id, "/")
	if found.Gated && who.user != owner && !slices.Contains(who.terms, id) {
		status := http.StatusUnauthorized
		if known {
			status = http.StatusForbidden
		}
		refuse(w, status, "GatedRepo", "Access to dataset "+id+" is restricted. You must have access to it and be authenticated to access it. Please log in.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := found.at(parts[1])
	if c == nil {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+parts[1])
		return
	}
	path := strings.Join(parts[2:], "/")
	w.Header().Set("X-Repo-Commit", c.oid)
	f, ok := c.files[path]
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
	case f.lfs != "" && parts[0] == "raw":
		serve(w, r, f.oid, []byte(pointer(f.lfs, f.size)))
	case f.lfs != "":
		w.Header().Set("X-Linked-Etag", `"`+f.lfs+`"`)
		w.Header().Set("X-Linked-Size", strconv.FormatInt(f.size, 10))
		w.Header().Set("Location", s.StorageURL+"/objects/"+f.lfs+"?X-Signature=secret")
		w.WriteHeader(http.StatusFound)
	default:
		serve(w, r, f.oid, f.data)
	}
}

// storage answers what is asked of the host with the large files. Like others of its kind it
// refuses a request with two ways of proving who one is.
func (s *Server) storage(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" || r.URL.Query().Get("X-Signature") != "secret" {
		http.Error(w, "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>", http.StatusBadRequest)
		return
	}
	oid := strings.TrimPrefix(r.URL.Path, "/objects/")
	if r.Method == http.MethodPut {
		s.stored(w, r, oid)
		return
	}
	s.mu.Lock()
	data, ok := s.objects[oid]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	serve(w, r, "storage-"+oid[:16], data)
}

// serve sends a file, or the range of it that is asked for.
func serve(w http.ResponseWriter, r *http.Request, etag string, data []byte) {
	w.Header().Set("ETag", `"`+etag+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(value)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	if code != "" {
		w.Header().Set("X-Error-Code", code)
	}
	w.Header().Set("X-Error-Message", message)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": message})
}
