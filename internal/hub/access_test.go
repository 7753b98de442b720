package hub_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

func TestTheTokenGoesToTheHubAlone(t *testing.T) {
	s := hubtest.Start(t)
	s.Account(token, "me", false)
	s.Add("me/secret", hubtest.Repo{Private: true, Files: map[string]string{"train.parquet": "rows"}})
	cfg := configOf(t, s)
	cfg.Token = token
	mustFetch(t, cfg, hub.Source{Input: "hf://datasets/me/secret"}) // its storage host refuses tokens
	s.Disturb(hubtest.Disturbance{Path: "/elsewhere.jsonl", Times: 1, Handle: hubtest.Answer(http.StatusFound, "", "Location: "+s.StorageURL+"/elsewhere.jsonl")})
	s.Disturb(hubtest.Disturbance{Path: "/elsewhere.jsonl", Handle: hubtest.Answer(200, `{"a":1}`)})
	mustFetch(t, cfg, hub.Source{Input: s.URL + "/elsewhere.jsonl"})
	mustFetch(t, cfg, hub.Source{Input: s.StorageURL + "/elsewhere.jsonl"})
	hubs, storages := 0, 0
	for _, r := range s.Requests() {
		switch {
		case r.Host == "hub":
			if hubs++; r.Authorization != "Bearer "+token {
				t.Errorf("the hub got no token: %+v", r)
			}
		default:
			if storages++; r.Authorization != "" {
				t.Errorf("the storage host got the token: %+v", r)
			}
		}
	}
	if hubs < 4 || storages < 3 {
		t.Errorf("%d requests of the hub and %d of the storage were seen", hubs, storages)
	}
}

func TestWhoMayNotReadADatasetIsToldWhatToDo(t *testing.T) {
	s := hubtest.Start(t)
	s.Account(token, "me", false)
	s.Account("hf_accepted", "you", false, "them/gated")
	s.Add("them/gated", hubtest.Repo{Gated: true, Files: map[string]string{"train.parquet": "rows"}})
	s.Add("them/private", hubtest.Repo{Private: true, Files: map[string]string{"train.parquet": "rows"}})
	for _, c := range []struct {
		input, token string
		say          []string
	}{
		{"them/gated", "", []string{"is gated", s.URL + "/datasets/them/gated", "HF_TOKEN", s.URL + "/settings/tokens"}},
		{"them/gated", token, []string{"accept its terms at " + s.URL + "/datasets/them/gated"}},
		{"them/private", "", []string{"knows no dataset", "did you mean", "HF_TOKEN"}},
		{"them/private", token, []string{"knows no dataset", "the account of HF_TOKEN may see no private dataset"}},
		{"them/gatde", "", []string{"did you mean them/gated?"}},
		{"nowhere/nothing", "", []string{"knows no dataset hf://datasets/nowhere/nothing"}},
		{"them/gated", "hf_expired", []string{"does not accept HF_TOKEN"}},
		{"them/gated", "hf_with a\nline", []string{"HF_TOKEN holds a character"}},
	} {
		if c.input == "them/private" && c.token == "" {
			c.say = []string{"knows no dataset", "HF_TOKEN"}
		}
		cfg := configOf(t, s)
		cfg.Token = c.token
		failing(t, cfg, hub.Source{Input: "hf://datasets/" + c.input}, c.say...)
	}
	cfg := configOf(t, s)
	cfg.Token = "hf_accepted"
	mustFetch(t, cfg, hub.Source{Input: "hf://datasets/them/gated"})
}

func TestNoErrorShowsTheToken(t *testing.T) {
	s := hubtest.Start(t)
	s.Account(token, "me", false)
	for _, status := range []int{200, 400, 401, 403, 404, 418, 429} {
		s.Disturb(hubtest.Disturbance{Path: "/api/", Handle: hubtest.Answer(status, "<html><title>you sent "+token, "X-Error-Message: you sent Bearer "+token)})
		cfg := configOf(t, s)
		cfg.Token = token
		_, err := hub.Fetch(t.Context(), cfg, hub.Source{Input: "hf://datasets/me/rows"})
		mustSay(t, err)
		failing(t, cfg, hub.Source{Input: "hf://datasets/me/" + token})
		s = hubtest.Start(t)
	}
	cfg := configOf(t, s)
	cfg.Endpoint = "https://user:" + token + "@host"
	failing(t, cfg, hub.Source{Input: "hf://datasets/me/rows"}, "HF_ENDPOINT")
}

func TestPlainHTTPIsForThisMachineOnly(t *testing.T) {
	s := hubtest.Start(t)
	cfg := configOf(t, s)
	err := failing(t, cfg, hub.Source{Input: "http://example.com/rows.jsonl?key=secret"}, "http://example.com/rows.jsonl", "https://")
	if strings.Contains(err.Error(), "secret") {
		t.Error("the address is shown with its key")
	}
	failing(t, cfg, hub.Source{Input: "ftp://example.com/rows.jsonl"}, "https://")
	for input, want := range map[string]bool{
		"https://x/y": true, "HTTPS://x/y": true, "http://x/y": true, "hf://datasets/a/b": true, "rows.jsonl": false, "-": false,
		"C:\\rows.jsonl": false, "https:rows": false, "s3://bucket/x": false, "hf:/x": false, "": false,
	} {
		if hub.IsRemote(input) != want {
			t.Errorf("IsRemote(%q) is %v", input, !want)
		}
	}
}

func TestWhatIsNoDatasetIsAnsweredWithTheRightSpelling(t *testing.T) {
	s := hubtest.Start(t)
	for input, say := range map[string]string{
		"hf://openai/gsm8k":           "hf://datasets/openai/gsm8k",
		"hf://models/openai/x":        "holds no rows",
		"hf://datasets/gsm8k":         "OWNER/NAME",
		"hf://datasets/":              "OWNER/NAME",
		"hf://datasets/../x":          "OWNER/NAME",
		"hf://datasets/a/b@":          "no revision",
		"hf://datasets/a/b@..%2F..":   "no revision",
		"hf://datasets/a/b//c":        `the part ""`,
		"hf://datasets/a/b@x%00y":     "no revision",
		"https://":                    "https://host/path",
		"hf://datasets/a\x1b[31m/b":   "OWNER/NAME",
		s.URL + "/datasets/only-one":  "OWNER/NAME",
		s.URL + "/datasets/a/b/tree/": "no revision",
	} {
		err := failing(t, configOf(t, s), hub.Source{Input: input}, say)
		if strings.ContainsRune(err.Error(), '\x1b') || errors.Is(err, hub.ErrChoose) {
			t.Errorf("%q", err)
		}
	}
	if asked := s.Requests(); len(asked) > 0 {
		t.Errorf("%+v was asked", asked)
	}
}
