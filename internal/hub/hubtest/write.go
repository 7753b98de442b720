package hubtest

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// maxBody bounds what is read of a request.
const maxBody = 256 << 20

// create makes an empty dataset.
func (s *Server) create(w http.ResponseWriter, r *http.Request, who account) {
	var asked struct {
		Name, Organization, Type, Visibility string
		Private                              bool
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&asked); err != nil || asked.Type != "dataset" {
		refuse(w, http.StatusBadRequest, "", "only datasets are made here")
		return
	}
	owner := asked.Organization
	if owner == "" {
		owner = who.user
	}
	id := owner + "/" + asked.Name
	s.mu.Lock()
	_, exists := s.repos[id]
	s.mu.Unlock()
	switch {
	case who.user == "":
		refuse(w, http.StatusUnauthorized, "", "Invalid username or password.")
	case !who.write || who.user != owner:
		refuse(w, http.StatusForbidden, "", "You don't have the rights to create a dataset under the namespace "+strconv.Quote(owner)+".")
	case exists:
		refuse(w, http.StatusConflict, "", "You already created this dataset repo")
	default:
		s.Add(id, Repo{Private: asked.Private || asked.Visibility == "private"})
		answer(w, map[string]any{"url": s.URL + "/datasets/" + id, "name": id, "id": "1"})
	}
}

// mayWrite answers a request that may not write, and reports whether it may.
func (s *Server) mayWrite(w http.ResponseWriter, r *http.Request, id string) bool {
	who, known := s.account(r)
	owner, _, _ := strings.Cut(id, "/")
	switch {
	case !known:
		refuse(w, http.StatusUnauthorized, "", "Invalid username or password.")
	case !who.write || who.user != owner:
		refuse(w, http.StatusForbidden, "", "you must use a write token to upload to a repository.")
	default:
		return true
	}
	return false
}

// preupload says how each file is to be sent, and what is there of it.
func (s *Server) preupload(w http.ResponseWriter, r *http.Request, id string, c *commit) {
	if !s.mayWrite(w, r, id) {
		return
	}
	var asked struct {
		Files []struct {
			Path, Sample string
			Size         int64
		}
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "", err.Error())
		return
	}
	files := []any{}
	for _, f := range asked.Files {
		if _, err := base64.StdEncoding.DecodeString(f.Sample); err != nil {
			refuse(w, http.StatusBadRequest, "", "bad sample")
			return
		}
		mode := map[bool]string{false: "regular", true: "lfs"}[isLarge(f.Path, f.Size)]
		one := map[string]any{"path": f.Path, "uploadMode": mode, "shouldIgnore": strings.HasSuffix(f.Path, ".ignored")}
		if there, ok := c.files[f.Path]; ok {
			one["oid"] = there.oid
			if there.lfs != "" {
				one["oid"] = there.lfs
			}
		}
		files = append(files, one)
	}
	answer(w, map[string]any{"files": files, "commitOid": c.oid})
}

// lfs answers the batch API, the end of an upload in parts, and the check after an upload.
func (s *Server) lfs(w http.ResponseWriter, r *http.Request, id, what string) {
	// The end of an upload comes without a token, since its address is secret.
	if what != "info/lfs/complete" && (s.repo(w, r, id) == nil || !s.mayWrite(w, r, id)) {
		return
	}
	var asked struct {
		Operation string
		OID       string
		Size      int64
		Objects   []struct {
			OID  string
			Size int64
		}
		Parts []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "", err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch what {
	case "info/lfs/objects/batch":
		objects := []any{}
		for _, o := range asked.Objects {
			one := map[string]any{"oid": o.OID, "size": o.Size}
			if _, there := s.objects[o.OID]; !there {
				one["actions"] = map[string]any{
					"upload": s.uploadOf(id, o.OID, o.Size),
					"verify": map[string]any{"href": s.URL + "/datasets/" + id + ".git/info/lfs/verify"},
				}
			}
			objects = append(objects, one)
		}
		answer(w, map[string]any{"transfer": "basic", "objects": objects})
	case "info/lfs/complete":
		var whole []byte
		for _, p := range asked.Parts {
			data := s.parts[fmt.Sprintf("%s-%d", asked.OID, p.PartNumber)]
			if p.ETag != etagOf(data) {
				refuse(w, http.StatusBadRequest, "", "a part has another ETag")
				return
			}
			whole = append(whole, data...)
		}
		if !s.keep(asked.OID, whole) {
			refuse(w, http.StatusBadRequest, "", "the parts make another file")
			return
		}
		answer(w, map[string]any{})
	case "info/lfs/verify":
		if data, ok := s.objects[asked.OID]; !ok || int64(len(data)) != asked.Size {
			refuse(w, http.StatusNotFound, "", "the object is not there")
			return
		}
		answer(w, map[string]any{})
	default:
		refuse(w, http.StatusNotFound, "", "no such API")
	}
}

// uploadOf says where a large file goes. The mutex is held.
func (s *Server) uploadOf(id, oid string, size int64) map[string]any {
	if s.PartSize == 0 || size <= s.PartSize {
		return map[string]any{"href": s.StorageURL + "/objects/" + oid + "?X-Signature=secret"}
	}
	header := map[string]any{"chunk_size": strconv.FormatInt(s.PartSize, 10)}
	for n := 1; int64(n-1)*s.PartSize < size; n++ {
		header[strconv.Itoa(n)] = fmt.Sprintf("%s/objects/%s-%d?X-Signature=secret", s.StorageURL, oid, n)
	}
	return map[string]any{"href": s.URL + "/datasets/" + id + ".git/info/lfs/complete", "header": header}
}

// stored takes a large file, or a part of one.
func (s *Server) stored(w http.ResponseWriter, r *http.Request, oid string) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil || r.ContentLength != int64(len(data)) {
		http.Error(w, "<Error><Code>MissingContentLength</Code></Error>", http.StatusLengthRequired)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(oid, "-") {
		s.parts[oid] = data
	} else if !s.keep(oid, data) {
		http.Error(w, "<Error><Code>BadDigest</Code></Error>", http.StatusBadRequest)
		return
	}
	w.Header().Set("ETag", etagOf(data))
}

func etagOf(data []byte) string { return `"` + gitHash(data)[:16] + `"` }

// keep stores an object under its hash. The mutex is held.
func (s *Server) keep(oid string, data []byte) bool {
	sum := sha256.Sum256(data)
	if hex.EncodeToString(sum[:]) != oid {
		return false
	}
	s.objects[oid] = data
	return true
}

// pushed makes a commit of the lines that are sent.
func (s *Server) pushed(w http.ResponseWriter, r *http.Request, id, branch string) {
	if !s.mayWrite(w, r, id) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.repos[id]
	head := found.at(branch)
	files := maps.Clone(head.files)
	title := ""
	lines := bufio.NewReader(io.LimitReader(r.Body, maxBody))
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var one struct {
			Key   string
			Value struct {
				Summary, ParentCommit, Path, Content, Encoding, Algo, OID string
				Size                                                      int64
			}
		}
		if err := json.Unmarshal(line, &one); err != nil {
			refuse(w, http.StatusBadRequest, "", err.Error())
			return
		}
		v := one.Value
		switch one.Key {
		case "header":
			title = v.Summary
			if v.ParentCommit != "" && v.ParentCommit != head.oid {
				refuse(w, http.StatusPreconditionFailed, "", "A commit has happened since. Please refresh and try again.")
				return
			}
		case "file":
			data, err := base64.StdEncoding.DecodeString(v.Content)
			if err != nil || v.Encoding != "base64" {
				refuse(w, http.StatusBadRequest, "", "bad content")
				return
			}
			files[v.Path] = file{data: data, oid: gitHash(data), size: int64(len(data))}
		case "lfsFile":
			data, ok := s.objects[v.OID]
			if !ok {
				refuse(w, http.StatusBadRequest, "", "LFS pointer pointed to a file that does not exist: "+v.Path)
				return
			}
			files[v.Path] = large(v.OID, int64(len(data)))
		case "deletedFile":
			if _, ok := files[v.Path]; !ok {
				refuse(w, http.StatusBadRequest, "EntryNotFound", "A file with this name doesn't exist")
				return
			}
			delete(files, v.Path)
		default:
			refuse(w, http.StatusBadRequest, "", "unknown key "+one.Key)
			return
		}
	}
	oid := s.commit(found, branch, title, files)
	answer(w, map[string]any{"success": true, "commitOid": oid, "commitUrl": s.URL + "/datasets/" + id + "/commit/" + oid, "hookOutput": ""})
}
