package hub

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v4"
)

// maxCard bounds the README of a dataset, in bytes.
const maxCard = 8 << 20

// A subset is what a dataset's card calls a config: rows of one kind, in splits.
type subset struct {
	name      string
	isDefault bool
	folder    string         // below which its files lie; empty: the whole dataset
	splits    []splitPattern // as the card says; none: the names of the files say it
}

// A splitPattern says by globs which files a split has.
type splitPattern struct {
	split    string
	patterns []string
}

// A card is what the head of a dataset's README says of its files.
type card struct {
	subsets []subset // none: the names of the files say which splits there are
	only    string   // the name of the only subset where it has no patterns; may be empty
}

// readCard reads the YAML head of a README. A README without one says nothing.
func readCard(readme []byte) (card, error) {
	head := headOf(readme)
	if head == nil {
		return card{}, nil
	}
	return readConfigs(head)
}

// headOf returns the text between the lines of dashes at the beginning of a README, or nil.
func headOf(readme []byte) []byte {
	readme = bytes.TrimPrefix(readme, []byte("\ufeff"))
	found := regexp.MustCompile(`(?s)^\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)`).FindSubmatch(readme)
	if found == nil {
		return nil
	}
	return found[1]
}

// readConfigs reads the subsets from YAML: the head of a README, or the file .huggingface.yaml.
func readConfigs(data []byte) (card, error) {
	var head struct {
		Configs yaml.Node `yaml:"configs"`
		Info    yaml.Node `yaml:"dataset_info"`
	}
	if err := yaml.Unmarshal(data, &head); err != nil {
		return card{}, fmt.Errorf("its YAML: %w", err)
	}
	var c card
	if info := aliased(&head.Info); info.Kind == yaml.MappingNode {
		c.only = valueOf(info, "config_name").Value
	}
	configs := aliased(&head.Configs)
	if configs.Kind != yaml.SequenceNode {
		return c, nil
	}
	seen := map[string]bool{}
	for _, node := range configs.Content {
		s, err := readConfig(aliased(node))
		if err != nil {
			return card{}, fmt.Errorf("line %d of its YAML: %w", node.Line, err)
		}
		if seen[s.name] {
			return card{}, fmt.Errorf("line %d of its YAML: the config %q stands there twice", node.Line, s.name)
		}
		seen[s.name] = true
		c.subsets = append(c.subsets, s)
	}
	return c, nil
}

func readConfig(node *yaml.Node) (subset, error) {
	name := valueOf(node, "config_name")
	if node.Kind != yaml.MappingNode || name.Kind != yaml.ScalarNode || name.Value == "" {
		return subset{}, errors.New("a config has no config_name")
	}
	s := subset{name: name.Value, folder: valueOf(node, "data_dir").Value}
	s.isDefault = s.name == "default" || valueOf(node, "default").Value == "true"
	var err error
	s.splits, err = readDataFiles(valueOf(node, "data_files"))
	if err != nil {
		return subset{}, fmt.Errorf("config %q: %w", s.name, err)
	}
	return s, nil
}

// readDataFiles reads the three forms of data_files: a glob, a list of globs, a list of splits with
// the globs of each.
func readDataFiles(node *yaml.Node) ([]splitPattern, error) {
	wrong := fmt.Errorf("data_files is neither a path, nor a list of paths, nor a list of split and path")
	switch node.Kind {
	case 0:
		return nil, nil
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return nil, nil
		}
		return []splitPattern{{"train", []string{node.Value}}}, nil
	case yaml.SequenceNode:
	default:
		return nil, wrong
	}
	var splits []splitPattern
	var plain []string
	seen := map[string]bool{}
	for _, n := range node.Content {
		switch n = aliased(n); n.Kind {
		case yaml.ScalarNode:
			plain = append(plain, n.Value)
		case yaml.MappingNode:
			split := valueOf(n, "split").Value
			patterns, ok := textsOf(valueOf(n, "path"))
			if !ok || !regexp.MustCompile(`^[\pL\pN_]+(\.[\pL\pN_]+)*$`).MatchString(split) {
				return nil, fmt.Errorf("line %d: data_files needs split and path, and a split's name has letters, digits, _ and . only", n.Line)
			}
			if seen[split] {
				return nil, fmt.Errorf("line %d: the split %q stands there twice", n.Line, split)
			}
			seen[split] = true
			splits = append(splits, splitPattern{split, patterns})
		default:
			return nil, wrong
		}
	}
	switch {
	case len(plain) > 0 && len(splits) > 0:
		return nil, wrong
	case len(plain) > 0:
		return []splitPattern{{"train", plain}}, nil
	}
	return splits, nil
}

// textsOf returns the texts of a scalar or of a list of scalars.
func textsOf(node *yaml.Node) (all []string, ok bool) {
	switch node.Kind {
	case yaml.ScalarNode:
		return []string{node.Value}, true
	case yaml.SequenceNode:
		for _, n := range node.Content {
			if n = aliased(n); n.Kind != yaml.ScalarNode {
				return nil, false
			}
			all = append(all, n.Value)
		}
		return all, len(all) > 0
	}
	return nil, false
}

// valueOf returns the value of a key, or an empty node.
func valueOf(node *yaml.Node, key string) *yaml.Node {
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				return aliased(node.Content[i+1])
			}
		}
	}
	return &yaml.Node{}
}

// aliased returns the node that an alias stands for.
func aliased(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}
