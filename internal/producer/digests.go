package producer

import (
	"bytes"
	"encoding/hex"
	"hash"
)

// Digests are the digest of the rows of a dataset, and that of earlier versions, which was over the
// rows as they came.
type digests struct {
	canonical func(dst, row []byte) []byte // of a Dataset
	sum       hash.Hash
	earlier   hash.Hash // nil: all rows so far came in the spelling of the digest, so both are one
	spelled   []byte    // kept for its memory
}

func (d *digests) add(row []byte) error {
	if d.canonical == nil {
		d.spelled = append(d.spelled[:0], row...)
	} else {
		d.spelled = d.canonical(d.spelled[:0], row)
	}
	if d.earlier == nil && !bytes.Equal(d.spelled, row) {
		same, err := d.sum.(hash.Cloner).Clone()
		if err != nil {
			return err
		}
		d.earlier = same
	}
	if d.earlier != nil {
		d.earlier.Write(row)
		d.earlier.Write([]byte("\n"))
	}
	d.spelled = append(d.spelled, '\n')
	d.sum.Write(d.spelled)
	return nil
}

// both returns the digest of the rows so far, and that of earlier versions.
func (d *digests) both() (digest, earlier string) {
	digest = hex.EncodeToString(d.sum.Sum(nil))
	if d.earlier == nil {
		return digest, digest
	}
	return digest, hex.EncodeToString(d.earlier.Sum(nil))
}
