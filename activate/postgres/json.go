package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errJSON = errors.New("the row is no JSON object")

// members calls fn with each member of a JSON object, its value as it is
// written. A decoder of the standard library takes thirty times as long, which
// for some million rows is what a push takes in all.
func members(object []byte, fn func(name, value []byte) error) error {
	s := scanner{text: object}
	if !s.take('{') {
		return errJSON
	}
	if s.take('}') {
		return s.end()
	}
	for {
		name, ok := s.value()
		if !ok || name[0] != '"' || !s.take(':') {
			return errJSON
		}
		value, ok := s.value()
		if !ok {
			return errJSON
		}
		name = name[1 : len(name)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var plain string
			if err := json.Unmarshal(append(append([]byte{'"'}, name...), '"'), &plain); err != nil {
				return errJSON
			}
			name = []byte(plain)
		}
		if err := fn(name, value); err != nil {
			return err
		}
		if s.take('}') {
			return s.end()
		}
		if !s.take(',') {
			return errJSON
		}
	}
}

// elements calls fn with each element of a JSON array.
func elements(array []byte, fn func(value []byte) error) error {
	s := scanner{text: array}
	if !s.take('[') {
		return errJSON
	}
	if s.take(']') {
		return s.end()
	}
	for {
		value, ok := s.value()
		if !ok {
			return errJSON
		}
		if err := fn(value); err != nil {
			return err
		}
		if s.take(']') {
			return s.end()
		}
		if !s.take(',') {
			return errJSON
		}
	}
}

type scanner struct {
	text []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\n' || s.text[s.at] == '\t' || s.text[s.at] == '\r') {
		s.at++
	}
}

func (s *scanner) take(b byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == b {
		s.at++
		return true
	}
	return false
}

func (s *scanner) end() error {
	if s.space(); s.at != len(s.text) {
		return errJSON
	}
	return nil
}

// value passes over one value and returns it. What is inside of an object or an
// array is not looked at.
func (s *scanner) value() (value []byte, ok bool) {
	s.space()
	start, depth := s.at, 0
	for s.at < len(s.text) {
		switch b := s.text[s.at]; b {
		case '"':
			if !s.quoted() {
				return nil, false
			}
			if depth == 0 {
				return s.text[start:s.at], s.at-start >= 2
			}
			continue
		case '{', '[':
			depth++
		case '}', ']', ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 { // the end of a number or a word
				return s.text[start:s.at], s.at > start
			}
			if b == '}' || b == ']' {
				if depth--; depth == 0 {
					s.at++
					return s.text[start:s.at], true
				}
			}
		}
		s.at++
	}
	return s.text[start:s.at], depth == 0 && s.at > start
}

// quoted passes over a string.
func (s *scanner) quoted() bool {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return true
		}
	}
	return false
}
