package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgtype"

	"elt/internal/scan"
)

// reject tells of a row that has no place in the schema, with its key where it
// is found and with what of it can be shown.
func (sn *snapshot) reject(fields [][]byte, bad int, reason error) error {
	name := sn.columns[bad].Name
	if sn.request.Reject == nil {
		return fmt.Errorf("column %s holds %w", name, reason)
	}
	values := sn.texts(fields)
	var locator []string
	for i, c := range sn.columns {
		if slices.Contains(sn.stream.spec.Key, c.Name) && values[i] != nil {
			locator = append(locator, c.Name+"="+*values[i])
		}
	}
	if len(locator) == 0 {
		locator = []string{"a row without a key"}
	}
	var payload strings.Builder
	payload.WriteByte('{')
	for i, c := range sn.columns {
		if i > 0 {
			payload.WriteString(", ")
		}
		key, err := json.Marshal(c.Name)
		value, verr := json.Marshal(values[i])
		if err = errors.Join(err, verr); err != nil {
			return fmt.Errorf("describe a rejected row: %w", err)
		}
		payload.Write(key)
		payload.WriteString(": ")
		payload.Write(value)
	}
	payload.WriteByte('}')
	return sn.request.Reject(scan.Reject{
		Locator: sn.stream.table + " " + strings.Join(locator, " "),
		Reason:  fmt.Sprintf("column %s holds %v", name, reason),
		Payload: payload.String(),
	})
}

// texts prints the fields of a row; what cannot be decoded is printed as it came.
func (sn *snapshot) texts(fields [][]byte) []*string {
	out := make([]*string, len(fields))
	for i, v := range fields {
		if v == nil {
			continue
		}
		text := sn.text(sn.columns[i], v)
		out[i] = &text
	}
	return out
}

func (sn *snapshot) text(c column, v []byte) string {
	raw := fmt.Sprintf(`\x%x`, v)
	if c.width > 0 && len(v) != c.width {
		return raw
	}
	if c.check != nil {
		if err := c.check(v); errors.Is(err, errNaN) || errors.Is(err, errInfinite) {
			return special(v, err)
		} else if err != nil {
			if text, ok := numericText(v); ok && c.OID == pgtype.NumericOID {
				return text
			}
			return raw
		}
	}
	b := array.NewBuilder(sn.stream.source.alloc, c.typ)
	defer b.Release()
	if err := c.bind(b)(v); err != nil {
		return raw
	}
	values := b.NewArray()
	defer values.Release()
	return strings.Clone(strings.ToValidUTF8(values.ValueStr(0), "\uFFFD"))
}

// special names a value that is no number or no time.
func special(v []byte, err error) string {
	switch {
	case errors.Is(err, errNaN) && v[4] == 0xc0 && v[5] == 0:
		return "NaN"
	case errors.Is(err, errNaN) && v[4] == 0xf0, errors.Is(err, errInfinite) && v[0]&0x80 != 0:
		return "-infinity"
	default:
		return "infinity"
	}
}
