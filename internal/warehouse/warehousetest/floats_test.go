package warehousetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// canonicalFloat is the definition that both engines must meet, for a real as for
// the double that it is: the shortest digits that give the double back, in plain notation for exponents from -4 to 15,
// else with an exponent of two digits or more; zero has no sign.
func canonicalFloat(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return strings.TrimPrefix(fmt.Sprintf("%+v", v), "+") + "inity"
	case v == 0:
		return "0"
	}
	text := strconv.FormatFloat(v, 'e', -1, 64)
	_, exponent, _ := strings.Cut(text, "e")
	if n, _ := strconv.Atoi(exponent); n < -4 || n >= 16 {
		return text
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// floats are values around every change of notation, and many at random.
func floats(bits int) []float64 {
	var out []float64
	for e := -8; e <= 20; e++ {
		p := math.Pow(10, float64(e))
		out = append(out, p, -p, 1.5*p, 9.999999*p, math.Nextafter(p, 0), math.Nextafter(p, math.Inf(1)), 1.2345678901234567*p)
	}
	out = append(out, 0, math.Copysign(0, -1), 0.1, 1.0/3, 1<<53, 1<<24, 16777217, math.MaxFloat32, math.SmallestNonzeroFloat32)
	if bits == 64 {
		out = append(out, math.MaxFloat64, math.SmallestNonzeroFloat64, 1<<53+2, 9007199254740993)
	}
	r := rand.New(rand.NewPCG(1, uint64(bits)))
	for range 2000 {
		if bits == 64 {
			out = append(out, math.Float64frombits(r.Uint64()), (r.Float64()-0.5)*math.Pow(10, float64(r.IntN(22))))
		} else {
			out = append(out, float64(math.Float32frombits(r.Uint32())), (r.Float64()-0.5)*math.Pow(10, float64(r.IntN(22))))
		}
	}
	kept := out[:0]
	for _, v := range out {
		if bits == 32 {
			v = float64(float32(v))
		}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			kept = append(kept, v)
		}
	}
	return kept
}

// The canonical form of a float, over which checksums between engines and the
// stable hashes of payloads are made, is one form on every engine.
func TestCanonicalFloatsAreOneFormOnEveryEngine(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		for bits, typ := range map[int]arrow.DataType{64: arrow.PrimitiveTypes.Float64, 32: arrow.PrimitiveTypes.Float32} {
			values := floats(bits)
			texts := make([]string, len(values))
			for i, v := range values {
				texts[i] = strconv.FormatFloat(v, 'g', -1, bits)
			}
			c := typeCase{field: arrow.Field{Name: "v", Type: typ, Nullable: true}, values: "[" + strings.Join(texts, ",") + "]"}
			sqlType, err := db.Dialect().ColumnType(c.field)
			if err != nil {
				t.Fatal(err)
			}
			table := warehouse.Table{Schema: "_elt", Name: fmt.Sprintf("floats_%d", bits)}
			if err := roundTrip(t, db, memory.DefaultAllocator, table, sqlType, c); err != nil {
				t.Fatal(err)
			}
			i, wrong := 0, 0
			err = warehouse.Each(t.Context(), db, "SELECT "+db.Dialect().Canonical("v", sqlType)+" FROM "+table.String()+" ORDER BY n", func(r rows.Row) error {
				if want := canonicalFloat(values[i]); r.String(0) != want && wrong < 10 {
					wrong++
					t.Errorf("%s %s is %q, want %q", sqlType, texts[i], r.String(0), want)
				}
				i++
				return nil
			})
			if err != nil || i != len(values) {
				t.Errorf("%d of %d values: %v", i, len(values), err)
			}
			for _, text := range []string{"NaN", "Infinity", "-Infinity"} {
				v, _ := strconv.ParseFloat(text, 64)
				err := warehouse.Each(t.Context(), db, "SELECT "+db.Dialect().Canonical("CAST('"+text+"' AS "+sqlType+")", sqlType), func(r rows.Row) error {
					if want := canonicalFloat(v); r.String(0) != want {
						t.Errorf("%s %s is %q, want %q", sqlType, text, r.String(0), want)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
}
