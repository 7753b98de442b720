package parquet

// A Feature is a column, a field of a struct or the elements of a list, as it is written.
type Feature struct {
	Name    string    // empty for the elements of a list
	Type    string    // bool, int64, uint64, float64, string, list or struct
	Element *Feature  // of a list
	Fields  []Feature // of a struct
}

// Features returns the columns with the types that a Writer gives them.
func (s *Schema) Features() []Feature {
	p := &planner{}
	root := &plan{kind: planStruct}
	p.fields(root, &s.root)
	return root.features()
}

func (p *plan) features() (all []Feature) {
	for _, f := range p.fields {
		all = append(all, f.feature())
	}
	return all
}

func (p *plan) feature() Feature {
	f := Feature{Name: p.name, Type: "string"}
	switch p.kind {
	case planBool:
		f.Type = "bool"
	case planInt:
		f.Type = "int64"
	case planUint:
		f.Type = "uint64"
	case planFloat:
		f.Type = "float64"
	case planList:
		element := p.element.feature()
		element.Name = ""
		f.Type, f.Element = "list", &element
	case planStruct:
		f.Type, f.Fields = "struct", p.features()
	}
	return f
}
