package duckdb_test

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

// colliding makes two texts of 16 letters that the engine's hash takes for one:
// it mixes 8 bytes at a time with an exclusive or and a multiplication, so what
// the first eight make different the second eight can undo.
func colliding() (a, b string) {
	const seed, length, factor = 0xe17a1465, 0xc6a4a7935bd1e995, 0xd6e8feb86659fd93
	start := uint64(16)
	start = seed ^ start*length
	letters := func(v uint64) bool {
		for range 8 {
			if c := byte(v); c < 0x20 || c > 0x7e {
				return false
			}
			v >>= 8
		}
		return true
	}
	text := func(first, second uint64) string {
		return string(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, first), second))
	}
	x := binary.LittleEndian.Uint64([]byte("customer"))
	second := binary.LittleEndian.Uint64([]byte("@@@@@@@@"))
	var digits []byte
	for n := int64(36 * 36 * 36 * 36 * 36 * 36 * 36); ; n++ {
		digits = strconv.AppendInt(digits[:0], n, 36)
		slices.Reverse(digits) // the first letters vary fastest: they reach all bits
		y := binary.LittleEndian.Uint64(digits)
		if other := second ^ (start^x)*factor ^ (start^y)*factor; letters(other) {
			return text(x, second), text(y, other)
		}
	}
}

// RowHash decides whether a payload has changed, so it must tell apart what the
// engine's own hash of 64 bits a value does not.
func TestRowHashTellsApartWhatCollides(t *testing.T) {
	t.Parallel()
	d, err := duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(t.TempDir(), "wh.duckdb")})
	if err != nil {
		t.Fatal(err)
	}
	db := warehouse.OpenReadOnly(d)
	t.Cleanup(func() { _ = db.Close() })
	a, b := colliding()
	q := `SELECT count(DISTINCT hash(v)), count(DISTINCT ` + db.Dialect().RowHash([]string{"v", "w"}) + `) FROM (SELECT unnest([$1, $2]) AS v, 1 AS w) AS r`
	err = warehouse.Each(t.Context(), db, q, func(r rows.Row) error {
		if r.Int(0) != 1 {
			t.Errorf("the engine hashes %q and %q apart: this version mixes otherwise, and this test shows nothing any more", a, b)
		}
		if r.Int(1) != 2 {
			t.Errorf("%q and %q have one row hash", a, b)
		}
		return nil
	}, a, b)
	if err != nil {
		t.Fatal(err)
	}
}
