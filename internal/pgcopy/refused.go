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
		return refusedTexts(f, c.ValueBytes(), c.Value)
	case *array.LargeString:
		return refusedTexts(f, c.ValueBytes(), c.Value)
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

// refusedTexts looks at all the bytes of a column at once.
func refusedTexts(f arrow.Field, all []byte, value func(int) string) func(row int) error {
	if bytes.IndexByte(all, 0) < 0 && utf8.Valid(all) && !(isJSON(f) && bytes.Contains(all, escapedNUL)) {
		return nil
	}
	return func(row int) error { return textError(f, value(row)) }
}

func textError(f arrow.Field, s string) error {
	if isJSON(f) && hasEscapedNUL([]byte(s)) {
		return errNUL
	}
	_, err := appendText(nil, s)
	return err
}

// isJSON reports whether the column becomes jsonb, which stores no \u0000 either.
func isJSON(f arrow.Field) bool {
	refined, ok := f.Metadata.GetValue(scan.TypeKey)
	return ok && refined == scan.TypeJSON
}

var escapedNUL = []byte(`\u0000`)

// hasEscapedNUL reports whether JSON text escapes a NUL; in `\\u0000` the
// backslash is what is escaped.
func hasEscapedNUL(text []byte) bool {
	for {
		i := bytes.Index(text, escapedNUL)
		if i < 0 {
			return false
		}
		slashes := 0
		for i-slashes > 0 && text[i-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return true
		}
		text = text[i+len(escapedNUL):]
	}
}

// refusedNested looks at what a list, struct or map becomes: JSON.
func refusedNested(column arrow.Array) func(row int) error {
	if !leafRefused(column.Data()) {
		return nil
	}
	return func(row int) error {
		text, err := json.Marshal(column.GetOneForMarshal(row))
		if err == nil && hasEscapedNUL(text) {
			err = errNUL
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
