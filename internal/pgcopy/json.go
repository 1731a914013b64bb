package pgcopy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

var (
	errJSON      = errors.New("JSON that is not well-formed")
	errSurrogate = errors.New("JSON text with half a surrogate pair, which PostgreSQL cannot store")
	errNumber    = errors.New("JSON with a number beyond what PostgreSQL can store")
	errDepth     = fmt.Errorf("JSON nested more than %d deep, which is more than PostgreSQL reads", maxDepth)
)

// PostgreSQL keeps the numbers of jsonb as numeric: so many digits before the
// point, and so many after it.
const (
	digitsBefore = 131072
	digitsAfter  = 16383
)

// maxDepth is below what PostgreSQL's stack takes as it comes.
const maxDepth = 4000

// jsonError says why text cannot become jsonb. Other engines, and PostgreSQL's own
// json, take more than jsonb: escapes that are no characters, and numbers of any size.
func jsonError(text []byte) error {
	if !json.Valid(text) {
		if deep(text) {
			return errDepth
		}
		return errJSON
	}
	depth := 0
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			n, err := jsonString(text[i:])
			if err != nil {
				return err
			}
			i += n
			continue
		case c >= '0' && c <= '9':
			n := jsonNumber(text[i:])
			if !storable(text[i : i+n]) {
				return errNumber
			}
			i += n
			continue
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return errDepth
			}
		case c == ']' || c == '}':
			depth--
		}
		i++
	}
	return nil
}

// deep reports whether text has more brackets than may be nested.
func deep(text []byte) bool {
	return bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > maxDepth
}

// jsonString returns the length of the well-formed string that text begins with,
// and what PostgreSQL has against its escapes.
func jsonString(text []byte) (int, error) {
	i := 1
	for {
		next := bytes.IndexAny(text[i:], `"\`)
		i += next
		if text[i] == '"' {
			return i + 1, nil
		}
		if text[i+1] != 'u' {
			i += 2
			continue
		}
		unit := codeUnit(text[i:])
		i += 6
		switch {
		case unit == 0:
			return 0, errNUL
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return 0, errSurrogate
		case unit >= 0xD800 && unit < 0xDC00:
			if low := codeUnit(text[i:]); low < 0xDC00 || low > 0xDFFF {
				return 0, errSurrogate
			}
			i += 6
		}
	}
}

// codeUnit is the number of the escape \uXXXX that text begins with, else -1.
func codeUnit(text []byte) int {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// jsonNumber returns the length of the number, without its sign, that text begins with.
func jsonNumber(text []byte) int {
	for i, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-' {
			return i
		}
	}
	return len(text)
}

// storable reports whether a well-formed number without sign fits into numeric.
func storable(number []byte) bool {
	if len(number) < digitsAfter && !bytes.ContainsAny(number, "eE") {
		return true
	}
	mantissa, exponent := number, 0
	if e := bytes.IndexAny(number, "eE"); e >= 0 {
		var err error
		if exponent, err = strconv.Atoi(string(number[e+1:])); err != nil || exponent > 1<<30-1 || exponent < -(1<<30-1) {
			return false
		}
		mantissa = number[:e]
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	if len(fraction)-exponent > digitsAfter {
		return false
	}
	digits := append(bytes.Clone(whole), fraction...)
	first := len(digits) - len(bytes.TrimLeft(digits, "0"))
	return first == len(digits) || len(whole)-first+exponent <= digitsBefore
}
