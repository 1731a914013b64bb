package pgcopy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"elt/internal/pgcopy"
	"elt/internal/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// readerOf is a reader of one batch of one column.
func readerOf(t *testing.T, values arrow.Array) array.RecordReader {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: values.DataType(), Nullable: true}}, nil)
	batch := array.NewRecordBatch(schema, []arrow.Array{values}, int64(values.Len()))
	defer batch.Release()
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Release)
	return r
}

// copyIn sends values to a table of one column of type typ and returns the texts
// that the server shows for them.
func copyIn(t *testing.T, conn *pgx.Conn, typ string, oid uint32, values arrow.Array) []string {
	t.Helper()
	ctx := t.Context()
	if _, err := conn.Exec(ctx, `DROP TABLE IF EXISTS t; CREATE TABLE t (at serial, v `+typ+`)`); err != nil {
		t.Fatal(err)
	}
	e, err := pgcopy.NewEncoder(ctx, readerOf(t, values), []pgcopy.Column{{Name: "v", Type: typ, OID: oid, Mod: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.PgConn().CopyFrom(ctx, e, `COPY t (v) FROM STDIN (FORMAT binary)`); err != nil {
		t.Fatal(err)
	}
	if e.Rows() != int64(values.Len()) {
		t.Errorf("%d rows counted of %d", e.Rows(), values.Len())
	}
	rows, err := conn.Query(ctx, `SELECT v::text FROM t ORDER BY at`)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), testdb.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// interesting numbers of up to digits digits: around powers of ten and of two,
// and random ones of every length.
func interesting(digits int) []*big.Int {
	var out []*big.Int
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	random := rand.New(rand.NewPCG(1, 2))
	add := func(n *big.Int) {
		if new(big.Int).Abs(n).Cmp(limit) < 0 {
			out = append(out, n, new(big.Int).Neg(n))
		}
	}
	add(big.NewInt(0))
	for d := range digits + 1 {
		power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d)), nil)
		add(power)
		add(new(big.Int).Sub(power, big.NewInt(1)))
		add(new(big.Int).Add(power, big.NewInt(1)))
		var text strings.Builder
		for range d {
			text.WriteByte(byte('0' + random.IntN(10)*random.IntN(2))) // zeros are many
		}
		if n, ok := new(big.Int).SetString(text.String(), 10); ok {
			add(n)
		}
	}
	for _, bits := range []uint{31, 32, 63, 64, 65, 126} {
		add(new(big.Int).Lsh(big.NewInt(1), bits))
	}
	return out
}

// plainText is n × 10^-scale as PostgreSQL prints it.
func plainText(n *big.Int, scale int) string {
	digits := new(big.Int).Abs(n).String()
	if scale < 0 && n.Sign() != 0 {
		digits += strings.Repeat("0", -scale)
	}
	if scale > 0 {
		if len(digits) <= scale {
			digits = strings.Repeat("0", scale-len(digits)+1) + digits
		}
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}

func TestDecimalsOfEveryScaleArriveDigitByDigit(t *testing.T) {
	conn := connect(t)
	numbers := interesting(38)
	for scale := -5; scale <= 38; scale++ {
		b := array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: 38, Scale: int32(scale)})
		for _, n := range numbers {
			b.Append(decimal128.FromBigInt(n))
		}
		got := copyIn(t, conn, "numeric", pgtype.NumericOID, b.NewArray())
		for i, n := range numbers {
			if want := plainText(n, scale); got[i] != want {
				t.Errorf("scale %d: got %s, want %s", scale, got[i], want)
			}
		}
	}
	wide := interesting(76)
	for _, scale := range []int{0, 1, 37, 76} {
		b := array.NewDecimal256Builder(memory.DefaultAllocator, &arrow.Decimal256Type{Precision: 76, Scale: int32(scale)})
		for _, n := range wide {
			b.Append(decimal256.FromBigInt(n))
		}
		got := copyIn(t, conn, "numeric", pgtype.NumericOID, b.NewArray())
		for i, n := range wide {
			if want := plainText(n, scale); got[i] != want {
				t.Errorf("256 bits, scale %d: got %s, want %s", scale, got[i], want)
			}
		}
	}
}

// TestDecimalsReadBack checks random decimals against pgx's own decoder.
func TestDecimalsReadBack(t *testing.T) {
	types := pgtype.NewMap()
	rapid.Check(t, func(r *rapid.T) {
		n := new(big.Int).SetInt64(rapid.Int64().Draw(r, "high"))
		n.Mul(n, big.NewInt(rapid.Int64().Draw(r, "low")))
		scale := rapid.IntRange(0, 38).Draw(r, "scale")
		b := array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: 38, Scale: int32(scale)})
		b.Append(decimal128.FromBigInt(n))
		value := field(t, b.NewArray(), pgcopy.Column{Name: "v", OID: pgtype.NumericOID, Mod: -1})
		var back pgtype.Numeric
		if err := types.Scan(pgtype.NumericOID, pgtype.BinaryFormatCode, value, &back); err != nil {
			r.Fatal(err)
		}
		text, err := back.Value()
		if err != nil {
			r.Fatal(err)
		}
		got, ok := new(big.Rat).SetString(fmt.Sprint(text))
		want := new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		if !ok || got.Cmp(want) != 0 {
			r.Errorf("%s at scale %d came back as %v", n, scale, text)
		}
	})
}

// field is the encoding of the first value of a column.
func field(t *testing.T, values arrow.Array, c pgcopy.Column) []byte {
	t.Helper()
	e, err := pgcopy.NewEncoder(t.Context(), readerOf(t, values), []pgcopy.Column{c})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := io.ReadAll(e)
	if err != nil {
		t.Fatal(err)
	}
	const header, count, length, trailer = 19, 2, 4, 2
	return stream[header+count+length : len(stream)-trailer]
}

func TestIntegersArriveInNumeric(t *testing.T) {
	conn := connect(t)
	b := array.NewUint64Builder(memory.DefaultAllocator)
	b.AppendValues([]uint64{0, 9999, 10000, 18446744073709551615}, nil)
	if got := strings.Join(copyIn(t, conn, "numeric", pgtype.NumericOID, b.NewArray()), " "); got != "0 9999 10000 18446744073709551615" {
		t.Errorf("got %s", got)
	}
	s := array.NewInt64Builder(memory.DefaultAllocator)
	s.AppendValues([]int64{-9223372036854775808, -10000, 120000}, nil)
	if got := strings.Join(copyIn(t, conn, "numeric", pgtype.NumericOID, s.NewArray()), " "); got != "-9223372036854775808 -10000 120000" {
		t.Errorf("got %s", got)
	}
}

func TestManySmallReadsGiveOneStream(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range 3000 {
		b.Append(strings.Repeat("x", i%100))
	}
	values := b.NewArray()
	column := []pgcopy.Column{{Name: "v", OID: pgtype.TextOID, Mod: -1}}
	whole, err := pgcopy.NewEncoder(t.Context(), readerOf(t, values), column)
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(whole)
	if err != nil {
		t.Fatal(err)
	}
	e, err := pgcopy.NewEncoder(t.Context(), readerOf(t, values), column)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for one := make([]byte, 7); ; {
		n, err := e.Read(one)
		got.Write(one[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), want) || !bytes.HasPrefix(want, []byte("PGCOPY\n\xff\r\n\x00")) {
		t.Error("the streams differ")
	}
}

func TestStopEndsTheStream(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.Append("x")
	e, err := pgcopy.NewEncoder(t.Context(), readerOf(t, b.NewArray()), []pgcopy.Column{{Name: "v", OID: pgtype.TextOID, Mod: -1}})
	if err != nil {
		t.Fatal(err)
	}
	e.Stop()
	if n, err := e.Read(make([]byte, 10)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, error %v", n, err)
	}
	if e.Err() != nil {
		t.Errorf("stopping is no error of the stream: %v", e.Err())
	}
}

func BenchmarkEncode(b *testing.B) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "price", Type: &arrow.Decimal128Type{Precision: 12, Scale: 2}},
		{Name: "day", Type: arrow.FixedWidthTypes.Date32}, {Name: "note", Type: arrow.BinaryTypes.String},
	}, nil)
	build := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	const rows = 10_000
	for i := range rows {
		build.Field(0).(*array.Int64Builder).Append(int64(i))
		build.Field(1).(*array.Decimal128Builder).Append(decimal128.FromI64(int64(i) * 12345))
		build.Field(2).(*array.Date32Builder).Append(arrow.Date32(i))
		build.Field(3).(*array.StringBuilder).Append("carefully final deposits")
	}
	batch := build.NewRecordBatch()
	columns := []pgcopy.Column{
		{Name: "id", OID: pgtype.Int8OID}, {Name: "price", OID: pgtype.NumericOID, Mod: -1},
		{Name: "day", OID: pgtype.DateOID}, {Name: "note", OID: pgtype.TextOID},
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
		if err != nil {
			b.Fatal(err)
		}
		e, err := pgcopy.NewEncoder(b.Context(), r, columns)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, e)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
