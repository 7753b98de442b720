package dataset

import "fmt"

// format says how the rows of a file are written, as it was found.
func (c *content) format() string {
	form := ""
	switch rows := c.rowReader.(type) {
	case *counted:
		return "numbers that are counted"
	case *parquetRows:
		return "Parquet"
	case *jsonRows:
		form = "JSON Lines"
		if rows.arrays {
			form = "JSON array"
		}
	case *tableRows:
		switch rows.delimiter {
		case ',':
			form = "CSV"
		case '\t':
			form = "TSV"
		default:
			form = fmt.Sprintf("table with %q between its cells", rows.delimiter)
		}
	}
	if c.packing != "" {
		form += ", " + c.packing
	}
	return form
}
