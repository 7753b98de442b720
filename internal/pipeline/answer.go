package pipeline

// An Answer is a generation with its row and, if it is stored, its result. An export consists of
// these.
type Answer struct {
	Item    int
	Sample  int
	Input   []byte             // the row as it came
	Result  *StoredResult      // nil if there is none yet
	Failure *GenerationFailure // why there is none; nil if that is not known
}

// A StoredResult is a result as the store keeps it, with its provenance.
type StoredResult struct {
	Result
	Batch    int
	Round    int
	Consumer string
	GPU      string
	Engine   EngineName // empty, as is the digest, in results of earlier versions
	Digest   string     // of the model
}

// Seed returns the seed with which the answer was, or will be, generated.
func (a Answer) Seed(run Run) int {
	if a.Result != nil && a.Result.Result.Seed != 0 {
		return a.Result.Result.Seed
	}
	if a.Result == nil && a.Failure != nil {
		return a.Failure.Seed
	}
	return Seed(run.Spec.Seed, GenerationID(run.Name, a.Item, a.Sample))
}
