package pipeline

// An Item is one row of the dataset: the instruction and all its other columns.
type Item struct {
	Run   string
	Seq   int    // number of the row, from 0
	Input []byte // the row as it came: one JSON object
}

// ID returns the item's id.
func (i Item) ID() string { return ItemID(i.Run, i.Seq) }
