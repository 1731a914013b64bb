package pgcopy

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/scan"
)

// What Refused lets pass must encode, and what it refuses must not: a row that
// slips through fails the whole COPY.
func TestRefusedNamesTheRows(t *testing.T) {
	t.Parallel()
	jsonField := arrow.NewMetadata([]string{scan.TypeKey}, []string{scan.TypeJSON})
	object := arrow.StructOf(arrow.Field{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true})
	for _, c := range []struct {
		name  string
		field arrow.Field
		json  string
		want  string // of each row, x: refused
	}{
		{"fine text", arrow.Field{Type: arrow.BinaryTypes.String}, `["a", null, "ü"]`, "..."},
		{"text", arrow.Field{Type: arrow.BinaryTypes.String}, `["a", "x\u0000y", null, "\\u0000"]`, ".x.."},
		{"large text", arrow.Field{Type: arrow.BinaryTypes.LargeString}, `["a", "x\u0000y"]`, ".x"},
		{"text view", arrow.Field{Type: arrow.BinaryTypes.StringView}, `["a", "x\u0000y"]`, ".x"},
		{"dictionary", arrow.Field{Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}}, `["a", "x\u0000y", "a"]`, ".x."},
		{"json", arrow.Field{Type: arrow.BinaryTypes.String, Metadata: jsonField}, `["{}", "\"a\\u0000\"", "\"a\\\\u0000\""]`, ".x."},
		{"struct", arrow.Field{Type: object}, `[{"s": "a"}, {"s": "\u0000"}, null]`, ".x."},
		{"list", arrow.Field{Type: arrow.ListOf(arrow.BinaryTypes.String)}, `[["a"], ["b", "\u0000"]]`, ".x"},
		{"nanoseconds", arrow.Field{Type: arrow.FixedWidthTypes.Timestamp_ns}, `["2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:00.000001Z"]`, "x."},
		{"bytes", arrow.Field{Type: arrow.BinaryTypes.Binary}, `["AAAA"]`, "."},
		{"numbers", arrow.Field{Type: arrow.PrimitiveTypes.Int64}, `[1, null]`, ".."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			column, _, err := array.FromJSON(memory.DefaultAllocator, c.field.Type, strings.NewReader(c.json))
			if err != nil {
				t.Fatal(err)
			}
			defer column.Release()
			why := Refused(c.field, column)
			var got strings.Builder
			for i := range column.Len() {
				if why != nil && why(i) != nil {
					got.WriteByte('x')
					continue
				}
				got.WriteByte('.')
			}
			if got.String() != c.want {
				t.Errorf("refused %s, want %s", &got, c.want)
			}
			if why != nil && !strings.Contains(c.want, "x") {
				t.Error("a fine column is looked at row by row")
			}
		})
	}
}

func TestRefusedTellsTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues([]string{"ok", "Stra\xdfe"}, nil)
	column := b.NewArray()
	defer column.Release()
	why := Refused(arrow.Field{Type: arrow.BinaryTypes.String}, column)
	if why == nil || why(0) != nil || why(1) == nil {
		t.Error("want the second row refused, and it alone")
	}
}
