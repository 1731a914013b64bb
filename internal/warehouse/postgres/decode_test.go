package postgres

import (
	"encoding/binary"
	"testing"
)

// FuzzDecodeNumeric never panics, and what it takes fits the digits it was given.
func FuzzDecodeNumeric(f *testing.F) {
	numeric := func(ndigits, weight, sign, dscale uint16, digits ...uint16) []byte {
		var b []byte
		for _, v := range append([]uint16{ndigits, weight, sign, dscale}, digits...) {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return b
	}
	f.Add(numeric(0, 0, 0, 2), 2)
	f.Add(numeric(2, 0, 0x4000, 2, 12, 5000), 2)
	f.Add(numeric(1, 0x7fff, 0, 0, 9999), 0)
	f.Add(numeric(1, 0xffff, 0, 4, 1), 4)
	f.Add(numeric(1, 0, 0xc000, 0, 1), 0)
	f.Add(numeric(1, 0, 0, 0, 10000), 0)
	f.Fuzz(func(t *testing.T, v []byte, scale int) {
		if scale < 0 || scale > maxDecimal {
			return
		}
		n, err := decodeNumeric(v, scale)
		if err == nil && len(v) == 8 && n.Sign() != 0 {
			t.Errorf("%x without digits is %s", v, n.ToString(int32(scale)))
		}
	})
}

func FuzzParseType(f *testing.F) {
	for _, typ := range []string{"numeric(12,2)", "timestamp(3) with time zone", "character varying(20)", "integer[]", `"odd type"`, "numeric(", ""} {
		f.Add(typ, "numeric(38,10)")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, ok := widen(a, b)
		y, same := widen(b, a)
		if ok != same {
			t.Errorf("widen(%q, %q) is %q, the other way round %q", a, b, x, y)
		}
	})
}
