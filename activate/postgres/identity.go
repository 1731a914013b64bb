package postgres

import (
	"bytes"

	"elt/internal/warehouse"
)

// identify makes sure that a mirror, which deletes by keys that are gone, does not
// delete the row of a key that stays: the ledger knows keys by their text, and the
// database may hold two texts for one key.
//
// Where a type has one spelling for each key no other is taken. Where it has not, as
// numeric with 1 and 1.0 or text without case, the ledger keeps the id that the row
// has, which is its key as it is there: writing by another spelling leaves it.
func (s *shape) identify(c *column, base, category string, folds bool) {
	kinds := map[string]limited{"int2": wholeKey, "int4": wholeKey, "int8": wholeKey, "date": dayKey, "uuid": uuidKey, "bool": boolKey}
	switch kind, ok := kinds[base]; {
	case category == "A":
		s.folds = true
	case ok:
		c.limit = limit{kind: kind}
	case category == "E", !folds && (base == "text" || base == "varchar"):
	default:
		s.folds = true
	}
}

// identity is an expression of the id that a row of the table t has for a mirror,
// with before in front of it; nothing where its key is enough.
func (s *shape) identity(before string) string {
	switch {
	case !s.folds:
		return ``
	case len(s.key) == 1:
		return before + `t.` + warehouse.Quote(s.key[0]) + `::text`
	}
	list := before + `ROW(`
	for i, k := range s.key {
		if i > 0 {
			list += `, `
		}
		list += `t.` + warehouse.Quote(k)
	}
	return list + `)::text`
}

// spells reports whether a text is the one by which a type spells a key.
func (l limit) spells(text []byte) bool {
	switch l.kind {
	case wholeKey:
		digits := bytes.TrimPrefix(text, []byte("-"))
		return string(text) == "0" || like(digits, digits) && digits[0] != '0'
	case dayKey:
		return like(text, []byte("0000-00-00"))
	case uuidKey:
		return like(text, []byte("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
	case boolKey:
		return string(text) == "true" || string(text) == "false"
	}
	return false
}

// like compares a text with a pattern, in which a digit stands for any digit and x
// for one of a hexadecimal number in small letters.
func like(text, pattern []byte) bool {
	if len(text) != len(pattern) || len(text) == 0 {
		return false
	}
	for i, p := range pattern {
		b := text[i]
		switch {
		case isDigit(p) && isDigit(b), p == 'x' && (isDigit(b) || b >= 'a' && b <= 'f'), p == '-' && b == '-':
		default:
			return false
		}
	}
	return true
}
