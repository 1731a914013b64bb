package pgcopy

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/scan"
)

// Refused returns what says of a row of column, whose field is f, why PostgreSQL
// cannot store its value: nil for a row that it can. It returns nil when the
// whole column is fine, which it finds out with one pass over the bytes, so that
// a load can set such rows aside before COPY, which fails as a whole.
func Refused(f arrow.Field, column arrow.Array) func(row int) error {
	why := refusedValues(f, column)
	if why == nil {
		return nil
	}
	isNull := column.IsNull
	return func(row int) error {
		if isNull(row) {
			return nil
		}
		return why(row)
	}
}

func refusedValues(f arrow.Field, column arrow.Array) func(row int) error {
	switch c := column.(type) {
	case *array.String:
		return refusedTexts(f, c, c.ValueBytes())
	case *array.LargeString:
		return refusedTexts(f, c, c.ValueBytes())
	case *array.StringView:
		return func(row int) error { return textError(f, c.Value(row)) }
	case *array.Dictionary:
		why := Refused(arrow.Field{Type: c.Dictionary().DataType(), Metadata: f.Metadata}, c.Dictionary())
		if why == nil {
			return nil
		}
		return func(row int) error { return why(c.GetValueIndex(row)) }
	case array.ExtensionArray:
		if f.Type = c.Storage().DataType(); c.ExtensionType().ExtensionName() == "arrow.json" {
			f.Metadata = arrow.NewMetadata([]string{scan.TypeKey}, []string{scan.TypeJSON})
		}
		return refusedValues(f, c.Storage())
	}
	if planNested(column.DataType()) != nil {
		return refusedNested(column)
	}
	return refusedTimes(column)
}

// refusedTexts looks at all the bytes of a column at once, except those of JSON,
// each value of which has its own end.
func refusedTexts(f arrow.Field, column array.StringLike, all []byte) func(row int) error {
	fine := bytes.IndexByte(all, 0) < 0 && utf8.Valid(all)
	why := func(row int) error { return textError(f, column.Value(row)) }
	switch {
	case !isJSON(f) && fine:
		return nil
	case !isJSON(f):
		return why
	case fine:
		var buf []byte
		why = func(row int) error {
			buf = append(buf[:0], column.Value(row)...)
			return jsonError(buf)
		}
	}
	for row := range column.Len() {
		if !column.IsNull(row) && why(row) != nil {
			return why
		}
	}
	return nil
}

func textError(f arrow.Field, s string) error {
	if _, err := appendText(nil, s); err != nil || !isJSON(f) {
		return err
	}
	return jsonError([]byte(s))
}

// isJSON reports whether the column becomes jsonb.
func isJSON(f arrow.Field) bool {
	refined, ok := f.Metadata.GetValue(scan.TypeKey)
	return ok && refined == scan.TypeJSON
}

// refusedNested looks at what a list, struct or map becomes: JSON.
func refusedNested(column arrow.Array) func(row int) error {
	if !leafRefused(column.Data()) {
		return nil
	}
	return func(row int) error {
		text, err := json.Marshal(column.GetOneForMarshal(row))
		if err == nil {
			err = jsonError(text)
		}
		return err
	}
}

// leafRefused reports whether a buffer below d may hold a NUL within text.
func leafRefused(d arrow.ArrayData) bool {
	switch d.DataType().ID() {
	case arrow.STRING, arrow.LARGE_STRING:
		if b := d.Buffers(); len(b) > 2 && b[2] != nil && bytes.IndexByte(b[2].Bytes(), 0) >= 0 {
			return true
		}
	case arrow.STRING_VIEW, arrow.DICTIONARY, arrow.EXTENSION:
		return true // rare inside a nested value: each row is looked at
	}
	for _, child := range d.Children() {
		if leafRefused(child) {
			return true
		}
	}
	return false
}

// refusedTimes finds moments outside PostgreSQL's range or finer than it keeps,
// by encoding them.
func refusedTimes(column arrow.Array) func(row int) error {
	t := column.DataType()
	enc := planDate(t)
	switch ts, ok := t.(*arrow.TimestampType); {
	case ok:
		enc = planTimestamp(t, ts.TimeZone != "")
	case enc == nil:
		enc = planTime(t)
	}
	if enc == nil {
		enc = planInterval(t)
	}
	if enc == nil {
		return nil
	}
	value := enc(column)
	var buf [16]byte
	why := func(row int) error {
		_, err := value(buf[:0], row)
		return err
	}
	for i := range column.Len() {
		if !column.IsNull(i) && why(i) != nil {
			return why
		}
	}
	return nil
}
