package postgres

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// form is how a JSON value becomes the text that the input function of a type reads.
type form int

const (
	plain   form = iota // strings without their quotes, all else as it is
	integer             // a number of which only zeros follow the point loses them
	raw                 // json and jsonb: as it is, quotes included
	binary              // bytea: base64, as the engines' models print it
	array               // a JSON array becomes an array
)

var (
	errNul    = errors.New("a text has the character NUL, which PostgreSQL cannot store")
	errUTF8   = errors.New("a text is no valid UTF-8")
	errBase64 = errors.New("bytea takes a string of base64")
	errArray  = errors.New("an array takes a JSON array")
)

// appendValue appends a JSON value as COPY in text format spells it.
func appendValue(to, value []byte, f form) ([]byte, error) {
	if string(value) == "null" {
		return append(to, `\N`...), nil
	}
	switch f {
	case raw:
		return appendEscaped(to, value)
	case array:
		text, err := appendArray(nil, value)
		if err != nil {
			return to, err
		}
		return appendEscaped(to, text)
	case binary:
		text, err := unquote(value)
		if err != nil {
			return to, errBase64
		}
		bytes, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil {
			return to, errBase64
		}
		return hex.AppendEncode(append(to, `\\x`...), bytes), nil
	}
	if value[0] == '"' {
		text, err := unquote(value)
		if err != nil {
			return to, err
		}
		return appendEscaped(to, text)
	}
	if f == integer {
		value = whole(value)
	}
	return appendEscaped(to, value)
}

// whole takes .0 from a number, which a model in floats has: the value stays.
func whole(number []byte) []byte {
	point := bytes.IndexByte(number, '.')
	if point <= 0 || len(bytes.Trim(number[point+1:], "0")) > 0 {
		return number
	}
	return number[:point]
}

// unquote is the text of a JSON string, or the value itself when it is none.
func unquote(value []byte) ([]byte, error) {
	if value[0] != '"' {
		return value, nil
	}
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, errJSON
	}
	return []byte(text), nil
}

// appendEscaped appends text as a field of COPY.
func appendEscaped(to, text []byte) ([]byte, error) {
	if bytes.IndexByte(text, 0) >= 0 {
		return to, errNul
	}
	if !utf8.Valid(text) {
		return to, errUTF8
	}
	for {
		i := bytes.IndexAny(text, "\\\n\r\t")
		if i < 0 {
			return append(to, text...), nil
		}
		to = append(to, text[:i]...)
		switch text[i] {
		case '\\':
			to = append(to, `\\`...)
		case '\n':
			to = append(to, `\n`...)
		case '\r':
			to = append(to, `\r`...)
		case '\t':
			to = append(to, `\t`...)
		}
		text = text[i+1:]
	}
}

// appendArray writes a JSON array as the literal of an array.
func appendArray(to, value []byte) ([]byte, error) {
	to = append(to, '{')
	first := true
	err := elements(value, func(element []byte) (err error) {
		if !first {
			to = append(to, ',')
		}
		first = false
		switch {
		case string(element) == "null":
			to = append(to, `NULL`...)
		case element[0] == '[':
			to, err = appendArray(to, element)
		default:
			var text []byte
			if text, err = unquote(element); err == nil {
				to = append(to, '"')
				for _, b := range text {
					if b == '"' || b == '\\' {
						to = append(to, '\\')
					}
					to = append(to, b)
				}
				to = append(to, '"')
			}
		}
		return err
	})
	if err != nil {
		return nil, errArray
	}
	return append(to, '}'), nil
}
