package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Signs of a numeric; above them NaN and the infinities.
const (
	numericPositive = 0x0000
	numericNegative = 0x4000
)

var errNumeric = errors.New("a numeric that does not fit its declared precision")

func checkNumeric(v []byte) error {
	if len(v) < 8 {
		return nil // decoding fails
	}
	if sign := binary.BigEndian.Uint16(v[4:]); sign != numericPositive && sign != numericNegative {
		return errNaN
	}
	return nil
}

// checkDecimal refuses what a decimal would have to round or has no room for.
func checkDecimal(precision, scale int) func([]byte) error {
	refused := fmt.Errorf("a number that DECIMAL(%d,%d) does not hold without loss: expected at most %d digits before the point and %d behind it; say a wider DECIMAL in columns, or round in a view", precision, scale, precision-scale, scale)
	return func(v []byte) error {
		if err := checkNumeric(v); err != nil {
			return err
		}
		if n, err := decodeNumeric(v, scale); err != nil || !n.FitsInPrecision(int32(precision)) {
			return refused
		}
		return nil
	}
}

// numericText prints a numeric as the server does, if 128 bits hold it.
func numericText(v []byte) (string, bool) {
	if len(v) < 8 {
		return "", false
	}
	scale := int(binary.BigEndian.Uint16(v[6:]))
	n, err := decodeNumeric(v, scale)
	if err != nil {
		return "", false
	}
	return n.ToString(int32(scale)), true
}

func bindDecimal(scale int) func(array.Builder) func([]byte) error {
	return func(b array.Builder) func([]byte) error {
		typed, ok := b.(*array.Decimal128Builder)
		return func(v []byte) error {
			if !ok {
				return errNumeric
			}
			n, err := decodeNumeric(v, scale)
			if err == nil {
				typed.Append(n)
			}
			return err
		}
	}
}

// decodeNumeric returns the value times 10^scale. The binary form is: number of
// digits, weight of the first, sign, display scale, digits to the base of 10000.
func decodeNumeric(v []byte, scale int) (decimal128.Num, error) {
	if len(v) < 8 {
		return decimal128.Num{}, errNumeric
	}
	n := int(binary.BigEndian.Uint16(v))
	weight := int(int16(binary.BigEndian.Uint16(v[2:])))
	sign := binary.BigEndian.Uint16(v[4:])
	if len(v) != 8+2*n || sign != numericPositive && sign != numericNegative {
		return decimal128.Num{}, errNumeric
	}
	var hi, lo uint64
	ok := true
	exponent := 0
	for i := range n {
		digit := uint64(binary.BigEndian.Uint16(v[8+2*i:]))
		exponent = 4*(weight-i) + scale
		switch {
		case digit > 9999:
			ok = false
		case exponent >= 0:
			hi, lo, ok = mulAdd(hi, lo, 10000, digit, ok)
		case exponent > -4: // part of the digit lies behind the scale, and is 0
			ok = ok && digit%pow10(-exponent) == 0
			hi, lo, ok = mulAdd(hi, lo, pow10(4+exponent), digit/pow10(-exponent), ok)
		default:
			ok = ok && digit == 0
		}
	}
	for ; exponent > 0 && ok && hi|lo != 0; exponent-- {
		hi, lo, ok = mulAdd(hi, lo, 10, 0, ok)
	}
	if !ok || hi>>63 != 0 {
		return decimal128.Num{}, errNumeric
	}
	out := decimal128.New(int64(hi), lo)
	if sign == numericNegative {
		out = out.Negate()
	}
	return out, nil
}

func pow10(n int) uint64 {
	out := uint64(1)
	for range n {
		out *= 10
	}
	return out
}

// mulAdd returns (hi, lo)*factor + add; ok turns false where that overflows.
func mulAdd(hi, lo, factor, add uint64, ok bool) (uint64, uint64, bool) {
	over, top := bits.Mul64(hi, factor)
	carry, low := bits.Mul64(lo, factor)
	low, c := bits.Add64(low, add, 0)
	carry, _ = bits.Add64(carry, 0, c)
	top, c = bits.Add64(top, carry, 0)
	return top, low, ok && over == 0 && c == 0
}
