package ollama_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// answers returns a client of a server that gives these answers.
func answers(t *testing.T, of map[string]string) *ollama.Client {
	t.Helper()
	return serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if of[r.URL.Path] == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, of[r.URL.Path])
	})
}

// Two versions describe the same model: the older one counts its memory itself, the newer one
// reads it from the log of its llama-server.
func TestAModelThatIsLoadedIsDescribedByBothKindsOfServers(t *testing.T) {
	const digest = "0db38dfbab75e292473952a6ef9b46a684e76f65fcf6694098a592a37c24d51f"
	for _, test := range []struct {
		name, version, ps string
		want              pipeline.ModelInfo
	}{
		{"older, on the CPU", "0.17.4", `"size":1647872,"size_vram":0,"context_length":2048`, pipeline.ModelInfo{Context: 2048, SizeBytes: 1647872}},
		{"newer, on the CPU", "0.33.0-rc2", `"size":5117049,"size_vram":0,"context_length":2048`, pipeline.ModelInfo{Context: 2048, SizeBytes: 5117049}},
		{"wholly on the GPU", "0.33.0", `"size":5117049,"size_vram":5117049,"context_length":2048`, pipeline.ModelInfo{Context: 2048, SizeBytes: 5117049, OnGPUBytes: 5117049}},
		{"partly on the GPU", "0.33.0", `"size":5117049,"size_vram":5117048,"context_length":2048`, pipeline.ModelInfo{Context: 2048, SizeBytes: 5117049, OnGPUBytes: 5117048}},
		{"it cannot say where", "0.33.0", `"size":965000,"size_vram":965000,"context_length":4096`, pipeline.ModelInfo{Context: 4096}},
		{"it cannot say anything", "0.33.0", `"context_length":0`, pipeline.ModelInfo{}},
	} {
		client := answers(t, map[string]string{
			"/api/version": `{"version":"` + test.version + `"}`,
			"/api/tags":    `{"models":[{"name":"tiny:latest","size":965200,"digest":"` + digest + `"}]}`,
			"/api/ps":      `{"models":[{"name":"tiny:latest","digest":"` + digest + `",` + test.ps + `}]}`,
		})
		test.want.Name, test.want.Engine, test.want.Digest, test.want.ServerVersion = "tiny:latest", pipeline.Ollama, digest, test.version
		for what, ask := range map[string]func() (pipeline.ModelInfo, error){
			"described": func() (pipeline.ModelInfo, error) { return client.Describe(t.Context(), "tiny") },
			"loaded":    func() (pipeline.ModelInfo, error) { return client.Loaded(t.Context(), "tiny") },
		} {
			got, err := ask()
			if err != nil {
				t.Fatalf("%s, %s: %v", test.name, what, err)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", test.name, what, d)
			}
		}
	}
}

// What is in memory is listed under the name and the digest by which it was loaded. Requests go to
// what the name stands for now.
func TestAModelIsWhatItsNameStandsFor(t *testing.T) {
	tags := `{"models":[{"name":"m:latest","size":1,"digest":"new"},{"name":"other:latest","size":1,"digest":"old"}]}`
	for name, c := range map[string]struct {
		loaded string
		size   int64
		beside string // another model that is in use
	}{
		"the name was given to another one": {`{"name":"m:latest","size":3,"size_vram":3,"digest":"old"}`, 3, ""},
		"both are in memory":                {`{"name":"m:latest","size":3,"size_vram":3,"digest":"old"},{"name":"x:latest","size":9,"digest":"x"},{"name":"m:latest","size":4,"size_vram":4,"digest":"new"}`, 4, "x:latest"},
		"it was loaded under another name":  {`{"name":"first:latest","size":4,"size_vram":4,"digest":"new"}`, 4, ""},
		"only another one is in memory":     {`{"name":"other:latest","size":3,"size_vram":3,"digest":"old"}`, 0, "other:latest"},
	} {
		t.Run(name, func(t *testing.T) {
			client := answers(t, map[string]string{"/api/version": `{"version":"0.17.4"}`, "/api/tags": tags, "/api/ps": `{"models":[` + c.loaded + `]}`, "/api/show": `{}`})
			got, err := client.Describe(t.Context(), "m")
			if err != nil || got.Digest != "new" || got.OnGPUBytes != c.size {
				t.Errorf("described: %+v, %v", got, err)
			}
			if beside, _, is := strings.Cut(got.Note, " is in use on the same server"); is != (c.beside != "") || is && beside != "model "+c.beside {
				t.Errorf("it is noted: %q, want %q in use, too", got.Note, c.beside)
			}
			got, err = client.Loaded(t.Context(), "m")
			if (err == nil) != (c.size > 0) || err == nil && (got.Digest != "new" || got.OnGPUBytes != c.size) {
				t.Errorf("loaded: %+v, %v", got, err)
			}
		})
	}
}

func TestTheTemplateIsToldByItsHash(t *testing.T) {
	hashes := map[string]bool{}
	for _, show := range []string{`{"template":"a","parameters":"stop b\ntop_k 1"}`, `{"template":"a","parameters":"top_k 1\nstop b"}`, `{"template":"a","parameters":"stop c"}`, `{"template":"astop b"}`, `{}`} {
		client := answers(t, map[string]string{"/api/version": `{"version":"0.17.4"}`, "/api/tags": `{"models":[{"name":"m:latest"}]}`, "/api/ps": `{}`, "/api/show": show})
		for range 2 {
			got, err := client.Describe(t.Context(), "m")
			if err != nil {
				t.Fatal(err)
			}
			hashes[got.Template] = true
			if len(got.Template) != 12 && show != `{}` {
				t.Errorf("%s: the hash is %q", show, got.Template)
			}
		}
	}
	if len(hashes) != 4 || !hashes[""] { // the first two differ in their order only
		t.Errorf("five descriptions have these hashes: %v", hashes)
	}
}

func TestAServerSaysWhatItIs(t *testing.T) {
	for version, says := range map[string]string{
		`"0.12.0"`:                           "",
		`"0.17.4"`:                           "",
		`"0.33.0-rc2"`:                       "",
		`"0.17.4-rc1"`:                       "",
		`"v0.40.1"`:                          "",
		`"1.0"`:                              "",
		`"0.11.11"`:                          "update it",
		`"0.1.32"`:                           "update it",
		`"0.0.0"`:                            "a build of one's own",
		`"b8123"`:                            "none of Ollama's",
		`"dev"`:                              "none of Ollama's",
		`"v"`:                                "none of Ollama's",
		`"0."`:                               "none of Ollama's",
		`"-0.-12"`:                           "none of Ollama's",
		`"0.99999999999999999999"`:           "none of Ollama's",
		`"koboldcpp 1.90"`:                   "none of Ollama's",
		`"` + strings.Repeat("9", 200) + `"`: "none of Ollama's",
	} {
		got, err := answers(t, map[string]string{"/api/version": `{"version":` + version + `}`}).Identify(t.Context())
		if err != nil || (got.Note == "") != (says == "") || !strings.Contains(got.Note, says) || got.Simulated || got.Engine != pipeline.Ollama || len(got.ServerVersion) > 60 {
			t.Errorf("%s: %+v, %v", version, got, err)
		}
	}
	for _, version := range []string{`""`, "null"} {
		got, err := answers(t, map[string]string{"/api/version": `{"version":` + version + `}`}).Identify(t.Context())
		if pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(err.Error(), "does not say its version") {
			t.Errorf("%s: %+v, %v", version, got, err)
		}
	}
	got, err := answers(t, map[string]string{"/api/version": `{"version":"0.17.4","simulated":true}`}).Identify(t.Context())
	if err != nil || !got.Simulated {
		t.Errorf("a simulated one: %+v, %v", got, err)
	}
}
