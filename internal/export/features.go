package export

import (
	"strings"

	"gleaner/internal/dataset/parquet"
)

// appendFeatures writes the types of columns in the form of the library datasets, in YAML. Names
// stand in JSON's quotes, which are YAML's, too.
func appendFeatures(b *strings.Builder, features []parquet.Feature, indent string) {
	for _, f := range features {
		b.WriteString(indent + "- name: " + string(appendText(nil, f.Name)) + "\n")
		appendFeature(b, f, indent+"  ")
	}
}

// appendFeature writes the type of one column.
func appendFeature(b *strings.Builder, f parquet.Feature, indent string) {
	switch f.Type {
	case "struct":
		b.WriteString(indent + "struct:\n")
		appendFeatures(b, f.Fields, indent)
	case "list":
		switch f.Element.Type {
		case "struct":
			b.WriteString(indent + "list:\n")
			appendFeatures(b, f.Element.Fields, indent)
		case "list":
			b.WriteString(indent + "list:\n")
			appendFeature(b, *f.Element, indent+"  ")
		default:
			b.WriteString(indent + "list: " + f.Element.Type + "\n")
		}
	default:
		b.WriteString(indent + "dtype: " + f.Type + "\n")
	}
}
