package http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// unify reads JSON that the template has made and calls bind with the text of
// each value that stands where a placeholder does. It returns what does not fit,
// or "".
func (t template) unify(text []byte, bind func(p part, value json.RawMessage) error) (problem string) {
	const mark = "\u0001placeholder" // no one's literal: control characters are escaped in JSON
	var sample strings.Builder
	for i, p := range t {
		sample.WriteString(p.text)
		if p.word != "" {
			sample.Write(jsonText(fmt.Sprintf("%s %d", mark, i)))
		}
	}
	if !json.Valid(text) {
		return "the body is no JSON"
	}
	var walk func(want, have json.RawMessage, place string) string
	walk = func(want, have json.RawMessage, place string) string {
		want, have = bytes.TrimSpace(want), bytes.TrimSpace(have)
		var name string
		if json.Unmarshal(want, &name) == nil && strings.HasPrefix(name, mark+" ") {
			var i int
			if _, err := fmt.Sscan(strings.TrimPrefix(name, mark+" "), &i); err != nil {
				return err.Error()
			}
			if err := bind(t[i], have); err != nil {
				return fmt.Sprintf("%s: {{%s}} is expected there, not %s", place, t[i].word, clip(string(have), 40))
			}
			return ""
		}
		switch {
		case want[0] == '{' && have[0] == '{':
			for key, inner := range members(want) {
				value := member(have, key)
				if value == nil {
					return fmt.Sprintf("%s.%s is missing", place, key)
				}
				if problem := walk(inner, value, place+"."+key); problem != "" {
					return problem
				}
			}
		case want[0] == '[' && have[0] == '[':
			var wants, haves []json.RawMessage
			if json.Unmarshal(want, &wants) != nil || json.Unmarshal(have, &haves) != nil || len(wants) != len(haves) {
				return fmt.Sprintf("%s is no list of %d", place, len(wants))
			}
			for i := range wants {
				if problem := walk(wants[i], haves[i], fmt.Sprintf("%s.%d", place, i)); problem != "" {
					return problem
				}
			}
		case !bytes.Equal(compact(want), compact(have)):
			return fmt.Sprintf("%s is %s, expected %s", place, clip(string(have), 40), clip(string(want), 40))
		}
		return ""
	}
	return walk(json.RawMessage(sample.String()), text, "body")
}

// pair is a member of an object to be made.
type pair struct {
	name  string
	value json.RawMessage
}

// object makes a JSON object with its members in order.
func object(list []pair) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		quote(&b, m.name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// number is the JSON of a text in a path: a number where it can only be one.
func number(text string) json.RawMessage {
	var n json.Number
	if json.Unmarshal([]byte(text), &n) == nil && text != "" && text[0] != '"' {
		return json.RawMessage(text)
	}
	return jsonText(text)
}

func jsonText(text string) json.RawMessage {
	var b bytes.Buffer
	quote(&b, text)
	return b.Bytes()
}

// compact takes the white space out of JSON.
func compact(text json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}
