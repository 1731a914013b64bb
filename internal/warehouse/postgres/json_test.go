package postgres_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"

	"elt/internal/pgcopy"
	"elt/internal/scan"
	"elt/internal/testdb"
)

// The server is the judge: what it does not take as jsonb must be refused before
// COPY, which fails as a whole, and what it takes must not.
func TestRefusedJSONIsWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), testdb.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	zeros := strings.Repeat("0", 16382)
	texts := []string{
		`{}`, `null`, `"\\u0000"`, `"\u0000"`, `"\\\u0000"`, `"a\ud83d"`, `"\ud83d\ude00"`, `"\ude00"`, `"\ud83d\ud83d"`, `"\ud83dx"`,
		`"\uD83D\n"`, `"\\ud83d"`, `{"\ud83d":1}`, `{"a":["\ud83d"]}`, `"\u00e4\ufffe"`, `{"a":"\"\ud83d"}`,
		`1e131071`, `1e131072`, `-1e131072`, `0.001e131074`, `0.001e131075`, `12e131070`, `12e131071`, `0e200000`, `0.0e-16382`, `0.0e-16383`,
		`1e-16383`, `1e-16384`, `1.5e-16382`, `1.5e-16383`, `1E+200000`, `[1,{"a":1e200000}]`, `1e99999999999`, `0e99999999999`, `1e1073741823`,
		`"1e200000"`, `0.` + zeros + `1`, `0.` + zeros + `01`, strings.Repeat("9", 131072), strings.Repeat("9", 131073),
		`NaN`, `{"a":Infinity}`, `[1,]`, `{"a":1}}`, ``, ` `, "\"a\tb\"", `tru`,
		strings.Repeat("[", 3999) + strings.Repeat("]", 3999), strings.Repeat("[", 100000) + strings.Repeat("]", 100000),
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(texts, nil)
	column := b.NewArray()
	defer column.Release()
	field := arrow.Field{Type: arrow.BinaryTypes.String, Metadata: arrow.NewMetadata([]string{scan.TypeKey}, []string{scan.TypeJSON})}
	why := pgcopy.Refused(field, column)
	if why == nil {
		t.Fatal("nothing is refused")
	}
	for i, text := range texts {
		_, err := conn.Exec(t.Context(), `SELECT CAST(CAST($1 AS text) AS jsonb)`, text)
		if refused := why(i); (err == nil) != (refused == nil) {
			t.Errorf("%s: refused %v, the server says %v", strconv.Quote(text[:min(len(text), 40)]), refused, err)
		}
	}
}
