package pgcopy

import (
	"encoding/binary"
	"errors"
	"math/big"
	"math/bits"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// numericDigits is the limit of PostgreSQL before and after the point together.
const numericDigits = 16383

var errScale = errors.New("more digits after the point than the column holds")

// decimal is a decimal number as text digits, without leading zeros; scale of
// them are after the point. A negative scale stands for zeros before it.
type decimal struct {
	negative bool
	digits   []byte
	scale    int32
}

// appendDecimal128 appends v × 10^-scale in PostgreSQL's binary form. maxScale
// is how many digits the column holds after the point; -1: any number.
func appendDecimal128(buf []byte, v decimal128.Num, scale, maxScale int32) ([]byte, error) {
	hi, lo := uint64(v.HighBits()), v.LowBits()
	negative := v.Sign() < 0
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	var text [40]byte
	var digits []byte
	if hi == 0 {
		digits = strconv.AppendUint(text[:0], lo, 10)
	} else {
		digits = append128(text[:0], hi, lo)
	}
	return appendNumeric(buf, decimal{negative: negative, digits: digits, scale: scale}, maxScale)
}

// append128 appends the decimal digits of hi·2^64 + lo.
func append128(dst []byte, hi, lo uint64) []byte {
	const e19 = 10_000_000_000_000_000_000
	var parts [3]uint64
	n := 0
	for {
		var rest uint64
		high := hi / e19
		lo, rest = bits.Div64(hi%e19, lo, e19)
		hi = high
		parts[n] = rest
		n++
		if hi == 0 && lo == 0 {
			break
		}
	}
	dst = strconv.AppendUint(dst, parts[n-1], 10)
	for i := n - 2; i >= 0; i-- {
		var group [19]byte
		for at, v := 18, parts[i]; at >= 0; at-- {
			group[at] = byte('0' + v%10)
			v /= 10
		}
		dst = append(dst, group[:]...)
	}
	return dst
}

func appendDecimal256(buf []byte, v decimal256.Num, scale, maxScale int32) ([]byte, error) {
	n := v.BigInt()
	return appendNumeric(buf, decimal{
		negative: n.Sign() < 0,
		digits:   new(big.Int).Abs(n).Append(nil, 10),
		scale:    scale,
	}, maxScale)
}

func appendInt(buf []byte, v int64, maxScale int32) ([]byte, error) {
	return appendDecimal128(buf, decimal128.FromI64(v), 0, maxScale)
}

func appendUint(buf []byte, v uint64, maxScale int32) ([]byte, error) {
	return appendDecimal128(buf, decimal128.FromU64(v), 0, maxScale)
}

// appendNumeric writes ndigits, weight, sign, dscale and the digits in base
// 10000, aligned at the point, without groups of zeros at either end.
func appendNumeric(buf []byte, d decimal, maxScale int32) ([]byte, error) {
	const (
		positive = 0x0000
		negative = 0x4000
	)
	d, err := fit(d, maxScale)
	if err != nil {
		return buf, err
	}
	whole := len(d.digits) - int(d.scale) // digits before the point; ≤ 0 for 0.00…
	groups := 0
	if whole > 0 {
		groups = (whole + 3) / 4
	} else {
		groups = -(-whole / 4)
	}
	weight := groups - 1
	sign := uint16(positive)
	if d.negative {
		sign = negative
	}
	header := len(buf)
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0)
	buf, leading := appendGroups(buf, d.digits, groups*4-whole)
	ndigits := (len(buf) - header - 8) / 2
	if weight -= leading; ndigits == 0 {
		weight, sign = 0, positive
	}
	binary.BigEndian.PutUint16(buf[header:], uint16(ndigits))
	binary.BigEndian.PutUint16(buf[header+2:], uint16(int16(weight)))
	binary.BigEndian.PutUint16(buf[header+4:], sign)
	binary.BigEndian.PutUint16(buf[header+6:], uint16(d.scale))
	return buf, nil
}

// appendGroups appends digits in groups of four, the first of which begins at
// place pos of its group, and returns how many leading groups of zeros it left
// out. It leaves out those at the end, too.
func appendGroups(buf, digits []byte, pos int) (out []byte, leading int) {
	start, end := len(buf), len(buf)
	group := 0
	for i, c := range digits {
		group = group*10 + int(c-'0')
		pos++
		if last := i == len(digits)-1; last {
			for ; pos < 4; pos++ {
				group *= 10
			}
		}
		if pos < 4 {
			continue
		}
		if group == 0 && len(buf) == start {
			leading++
		} else {
			buf = binary.BigEndian.AppendUint16(buf, uint16(group))
		}
		if group != 0 {
			end = len(buf)
		}
		group, pos = 0, 0
	}
	return buf[:end], leading
}

// fit drops zeros after the point that the column has no room for and refuses
// other digits there: the server would round them away without a word.
func fit(d decimal, maxScale int32) (decimal, error) {
	for d.scale < 0 {
		d.digits = append(d.digits, '0')
		d.scale++
	}
	for maxScale >= 0 && d.scale > maxScale {
		if n := len(d.digits); n > 0 {
			if d.digits[n-1] != '0' {
				return d, errScale
			}
			d.digits = d.digits[:n-1]
		}
		d.scale--
	}
	if len(d.digits) > numericDigits || d.scale > numericDigits {
		return d, errors.New("more digits than numeric holds")
	}
	return d, nil
}
