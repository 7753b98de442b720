package hub

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ConfigFromEnv reads what huggingface_hub reads, as it does: HF_ENDPOINT; the token from HF_TOKEN,
// HUGGING_FACE_HUB_TOKEN, or the file that `hf auth login` writes (HF_TOKEN_PATH, else token below
// HF_HOME), unless HF_HUB_DISABLE_IMPLICIT_TOKEN is true; HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE;
// HF_HUB_CACHE for reading offline. What cannot be read counts as not set.
func ConfigFromEnv(getenv func(string) string) Config {
	home := hubHome(getenv)
	cfg := Config{
		Endpoint: strings.TrimRight(getenv("HF_ENDPOINT"), "/"),
		Offline:  isTrue(first(getenv("HF_HUB_OFFLINE"), getenv("TRANSFORMERS_OFFLINE"))),
		HubCache: expand(first(getenv("HF_HUB_CACHE"), getenv("HUGGINGFACE_HUB_CACHE")), getenv),
	}
	if cfg.Endpoint == "" {
		cfg.Endpoint = DefaultEndpoint
	}
	if cfg.HubCache == "" && home != "" {
		cfg.HubCache = filepath.Join(home, "hub")
	}
	if isTrue(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return cfg
	}
	cfg.Token = cleanToken(first(getenv("HF_TOKEN"), getenv("HUGGING_FACE_HUB_TOKEN")))
	if cfg.Token == "" {
		cfg.Token = tokenFromFile(first(expand(getenv("HF_TOKEN_PATH"), getenv), joined(home, "token")))
	}
	return cfg
}

// hubHome returns the folder of huggingface_hub's own files, or nothing.
func hubHome(getenv func(string) string) string {
	if home := expand(getenv("HF_HOME"), getenv); home != "" {
		return home
	}
	if cache := getenv("XDG_CACHE_HOME"); cache != "" {
		return filepath.Join(expand(cache, getenv), "huggingface")
	}
	return joined(userHome(getenv), filepath.Join(".cache", "huggingface"))
}

func userHome(getenv func(string) string) string { return first(getenv("HOME"), getenv("USERPROFILE")) }

// expand replaces a leading ~ and variables, as the other library does.
func expand(path string, getenv func(string) string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		path = userHome(getenv) + rest
	}
	return os.Expand(path, func(name string) string {
		if value := getenv(name); value != "" {
			return value
		}
		return "$" + name
	})
}

// joined is empty where the folder is.
func joined(folder, name string) string {
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, name)
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// isTrue reports whether the other library takes a value for true.
func isTrue(value string) bool {
	return slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(value))
}

// maxTokenFile bounds what is read for a token, in bytes.
const maxTokenFile = 4 << 10

func tokenFromFile(path string) string {
	if path == "" {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxTokenFile {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return cleanToken(string(data))
}

// cleanToken takes out line ends, with which a token is often pasted.
func cleanToken(token string) string {
	return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(token))
}
