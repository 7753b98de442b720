package parquet

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendString appends a text as a JSON string. The caller saw that it is UTF-8.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i, b := range s {
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// appendFloat appends the shortest number that reads as the same value again, in the form that
// Python gives it: 1.0, 0.1, 1e+16.
func appendFloat(dst []byte, f float64, bits int) []byte {
	abs := math.Abs(f)
	if abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	before := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
	for _, b := range dst[before:] {
		if b == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

// appendHalf appends the shortest number that reads as the same half-precision value.
func appendHalf(dst []byte, f float64) []byte {
	for digits := range 5 {
		s := strconv.FormatFloat(f, 'e', digits, 64)
		v, _ := strconv.ParseFloat(s, 64)
		if toHalf(v) == toHalf(f) {
			return appendFloat(dst, v, 64)
		}
	}
	return appendFloat(dst, f, 64)
}

// toHalf rounds to half precision, half to even. The value is finite.
func toHalf(f float64) float64 {
	_, exponent := math.Frexp(f)
	step := math.Ldexp(1, max(exponent, -13)-11)
	return math.RoundToEven(f/step) * step
}

// halfValue is what the two bytes of a half-precision number mean.
func halfValue(bits uint16) float64 {
	sign := 1.0
	if bits>>15 != 0 {
		sign = -1
	}
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	switch exponent {
	case 0:
		return math.Copysign(math.Ldexp(fraction, -24), sign)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return math.Copysign(math.Ldexp(1024+fraction, exponent-25), sign)
}

// invalidAt returns where a text stops being UTF-8, or -1.
func invalidAt(s []byte) int {
	if utf8.Valid(s) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
}
