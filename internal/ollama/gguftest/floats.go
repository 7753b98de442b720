package gguftest

import (
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
)

// floats are the values of a tensor.
type floats []float32

// WriteTo writes them as the file holds them.
func (f floats) WriteTo(w io.Writer) (int64, error) {
	data := make([]byte, 0, 4*len(f))
	for _, v := range f {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	n, err := w.Write(data)
	return int64(n), err
}

func normal(r *rand.Rand, n int, deviation float64) floats {
	values := make(floats, n)
	for i := range values {
		values[i] = float32(r.NormFloat64() * deviation)
	}
	return values
}

func ones(n int) floats {
	values := make(floats, n)
	for i := range values {
		values[i] = 1
	}
	return values
}
