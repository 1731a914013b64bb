package http

import (
	"encoding/json"
	"iter"
)

// members walks through the members of a valid JSON object without decoding
// their values. It stops at what it does not understand.
func members(object json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		at := space(object, 0)
		if at >= len(object) || object[at] != '{' {
			return
		}
		at++
		for {
			at = space(object, at)
			if at >= len(object) || object[at] != '"' {
				return
			}
			end := text(object, at)
			var name string
			if json.Unmarshal(object[at:end], &name) != nil {
				return
			}
			at = space(object, end)
			if at >= len(object) || object[at] != ':' {
				return
			}
			at = space(object, at+1)
			end = value(object, at)
			if !yield(name, object[at:end]) {
				return
			}
			at = space(object, end)
			if at >= len(object) || object[at] != ',' {
				return
			}
			at++
		}
	}
}

// space is the index of the first byte from at that is no white space.
func space(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\n' || b[at] == '\t' || b[at] == '\r') {
		at++
	}
	return at
}

// text is the index behind the string that begins at at.
func text(b []byte, at int) int {
	for i := at + 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// value is the index behind the value that begins at at.
func value(b []byte, at int) int {
	depth := 0
	for i := at; i < len(b); {
		switch b[i] {
		case '"':
			i = text(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + min(1, depth+1)
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}
