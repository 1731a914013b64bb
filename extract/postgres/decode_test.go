package postgres

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5/pgtype"

	"elt/internal/scan"
)

// everyColumn has one column of each way of decoding.
func everyColumn() []column {
	var out []column
	for i, oid := range []uint32{
		pgtype.BoolOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.ByteaOID,
		pgtype.TextOID, pgtype.JSONBOID, pgtype.UUIDOID, pgtype.DateOID, pgtype.TimeOID, pgtype.TimestamptzOID,
		pgtype.IntervalOID, pgtype.NumericOID,
	} {
		out = append(out, plan(found{Name: string(rune('a' + i)), OID: oid, Mod: 10<<16 | 2 + 4}, StreamOptions{}))
	}
	return out
}

// stream of one row of zero bytes of the right widths.
func sample(columns []column) []byte {
	out := append([]byte(signature), make([]byte, 8)...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(columns)))
	for _, c := range columns {
		v := make([]byte, c.width)
		switch c.OID {
		case pgtype.JSONBOID:
			v = []byte("\x01{}")
		case pgtype.NumericOID:
			v = []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 7}
		case pgtype.TimeOID:
			v = binary.BigEndian.AppendUint64(nil, 86_400_000_000)
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(v)))
		out = append(out, v...)
	}
	return append(out, 0xff, 0xff)
}

// decode feeds data in pieces and returns the batches' rows and text.
func decode(t testing.TB, columns []column, data []byte, piece int) (rows int64, text string, err error) {
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t, 0)
	d := newCopyDecoder(alloc, columns)
	defer d.release()
	d.reject = func([][]byte, int, error) error { return nil }
	d.emit = func(b arrow.RecordBatch) error {
		defer b.Release()
		rows += b.NumRows()
		for _, c := range b.Columns() {
			text += c.String()
		}
		return nil
	}
	for len(data) > 0 {
		n := min(piece, len(data))
		if _, err := d.Write(data[:n]); err != nil {
			return rows, text, err
		}
		data = data[n:]
	}
	return rows, text, d.finish()
}

func TestCopyMayArriveInPiecesOfAnySize(t *testing.T) {
	columns := everyColumn()
	data := sample(columns)
	_, want, err := decode(t, columns, data, len(data))
	if err != nil {
		t.Fatal(err)
	}
	for piece := 1; piece < len(data); piece++ {
		if rows, got, err := decode(t, columns, data, piece); err != nil || rows != 1 || got != want {
			t.Errorf("pieces of %d: %d rows, %v, %s; want %s", piece, rows, err, got, want)
		}
	}
}

func TestCopyThatEndsEarlyIsAnError(t *testing.T) {
	columns := everyColumn()
	data := sample(columns)
	for n := range data {
		if _, _, err := decode(t, columns, data[:n], 7); err == nil {
			t.Errorf("%d of %d bytes: no error", n, len(data))
		}
	}
	if _, _, err := decode(t, columns, append(bytes.Clone(data), 0), 1000); err == nil {
		t.Error("a byte behind the end: no error")
	}
}

func FuzzCopy(f *testing.F) {
	columns := everyColumn()
	f.Add(sample(columns), 5)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		rows, text, err := decode(t, columns, data, piece)
		again, whole, errWhole := decode(t, columns, data, max(len(data), 1))
		if (err == nil) != (errWhole == nil) || err == nil && (rows != again || text != whole) {
			t.Errorf("pieces of %d gave %d rows, %v; the whole %d, %v", piece, rows, err, again, errWhole)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(`{"v":1,"column":"u","type":"integer","value":"7","rows":["0123456789abcdef0123456789abcdef"]}`)
	f.Add(`{"v":2,"column":"u","type":"integer","value":"7","rows":["0123456789abcdef0123456789abcdef"],"columns":[{"n":"u","t":"integer"}]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := decodeCursor(scan.Cursor(text))
		if err != nil {
			return
		}
		once, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeCursor(once)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, err := again.encode(); err != nil || once != twice {
			t.Errorf("%s became %s, %v", once, twice, err)
		}
	})
}
