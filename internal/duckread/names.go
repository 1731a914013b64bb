package duckread

import (
	"strings"
	"unicode"
)

// snake is the name of a file's column in the warehouse: lower case, words
// separated by _, nothing but letters and digits.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(strings.TrimSpace(name))
	gap := false
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			gap = b.Len() > 0 || r == '_'
			if r == '_' && b.Len() == 0 {
				b.WriteRune('_')
				gap = false
			}
			continue
		}
		if gap || startsWord(runes, i) {
			if s := b.String(); s != "" && !strings.HasSuffix(s, "_") {
				b.WriteRune('_')
			}
		}
		gap = false
		b.WriteRune(unicode.ToLower(r))
	}
	if b.Len() == 0 {
		return "column"
	}
	return b.String()
}

// startsWord reports whether an upper-case letter begins a word: orderID is
// order_id, and HTTPCode is http_code.
func startsWord(runes []rune, i int) bool {
	if i == 0 || !unicode.IsUpper(runes[i]) {
		return false
	}
	before := runes[i-1]
	if unicode.IsLower(before) || unicode.IsDigit(before) {
		return true
	}
	return unicode.IsUpper(before) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

// landed is the type that a sniffed type lands as: what only DuckDB knows as a
// column becomes what every warehouse has.
func landed(typ string) string {
	switch {
	case nested(typ):
		return "JSON"
	case strings.HasPrefix(typ, "ENUM("), typ == `"NULL"`, typ == "UHUGEINT", typ == "BIT":
		return "VARCHAR"
	case typ == "HUGEINT":
		return "DECIMAL(38,0)"
	default:
		return typ
	}
}

func nested(typ string) bool {
	upper := strings.ToUpper(typ)
	if strings.HasSuffix(upper, "]") {
		return true
	}
	for _, prefix := range []string{"STRUCT", "MAP(", "UNION("} {
		if strings.HasPrefix(upper, prefix) {
			return true
		}
	}
	return false
}
