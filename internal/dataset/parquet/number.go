package parquet

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
)

// What a number in JSON may become.
const (
	isInt        = 1 << iota // fits int64
	isNegative               // and is below zero
	isUint                   // fits uint64 only
	isFloat                  // has a point or an exponent, and a double gives it back
	isInexact                // an integer that a double would change
	isUnbounded              // fits no type without being changed
	numberFlags  = isInt | isNegative | isUint | isFloat | isInexact | isUnbounded
	integerFlags = isInt | isNegative | isUint | isInexact
)

// classify says what a number, as it is written, may become.
func classify(token []byte) int {
	if bytes.ContainsAny(token, ".eE") {
		if isExact(token) {
			return isFloat
		}
		return isUnbounded
	}
	if token[0] == '-' {
		if len(token) == 2 && token[1] == '0' {
			return isFloat // an integer has no negative zero
		}
		v, err := strconv.ParseInt(string(token), 10, 64)
		if err != nil {
			return isUnbounded
		}
		return isInt | isNegative | inexact(uint64(-v))
	}
	v, err := strconv.ParseUint(string(token), 10, 64)
	switch {
	case err != nil:
		return isUnbounded
	case v > math.MaxInt64:
		return isUint | inexact(v)
	}
	return isInt | inexact(v)
}

// inexact says whether a double has too few bits for an integer.
func inexact(v uint64) int {
	if bits.Len64(v)-bits.TrailingZeros64(v|1<<63) > 53 {
		return isInexact
	}
	return 0
}

// isExact reports whether a double, written in the shortest way, is the same number again.
func isExact(token []byte) bool {
	f, err := strconv.ParseFloat(string(token), 64)
	if err != nil {
		return false
	}
	var buf [32]byte
	if bytes.Equal(appendFloat(buf[:0], f, 64), token) { // as most programs write it
		return true
	}
	digits, exponent, ok := digitsOf(token)
	if !ok {
		return false
	}
	if len(digits) <= 15 && math.Abs(f) > 1e-290 { // then it always is
		return true
	}
	shortest, e, _ := digitsOf(strconv.AppendFloat(buf[:0], f, 'e', -1, 64))
	return bytes.Equal(digits, shortest) && (exponent == e || len(digits) == 0)
}

// digitsOf returns the digits of a number without zeros at either end, and the power of ten of the
// last one.
func digitsOf(token []byte) (digits []byte, exponent int, ok bool) {
	point := false
	for i, c := range token {
		switch {
		case c == '.':
			point = true
		case c == 'e' || c == 'E':
			e, err := strconv.Atoi(string(token[i+1:]))
			if err != nil {
				return nil, 0, false
			}
			exponent += e
			return trimZeros(digits, exponent)
		case c >= '0' && c <= '9':
			digits = append(digits, c)
			if point {
				exponent--
			}
		}
	}
	return trimZeros(digits, exponent)
}

func trimZeros(digits []byte, exponent int) ([]byte, int, bool) {
	digits = bytes.TrimLeft(digits, "0")
	short := bytes.TrimRight(digits, "0")
	return short, exponent + len(digits) - len(short), true
}
