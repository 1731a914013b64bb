package http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"elt/activate"
	"elt/internal/yamlx"
)

// RowTemplate is JSON of a row with placeholders for whole values.
type RowTemplate string

// Envelope is JSON around the rows of a batch.
type Envelope string

// UnmarshalNode implements [yamlx.Unmarshaler].
func (t *RowTemplate) UnmarshalNode(d *yamlx.Decoder, n ast.Node) {
	*t = RowTemplate(templateText(d, n, rowWords()))
}

// UnmarshalNode implements [yamlx.Unmarshaler].
func (t *Envelope) UnmarshalNode(d *yamlx.Decoder, n ast.Node) {
	*t = Envelope(templateText(d, n, envelopeWords()))
	if *t != "" && !strings.Contains(string(*t), "records") {
		d.Fail(n, "wrap has no place for the rows", "{{records}} in it", "")
	}
}

func (t RowTemplate) has(word string) bool {
	parsed, err := parseTemplate(string(t), rowWords())
	return err == nil && slices.ContainsFunc(parsed, func(p part) bool { return p.word == word })
}

func templateText(d *yamlx.Decoder, n ast.Node, words []string) string {
	if _, ok := d.Text(n); !ok {
		d.Fail(n, "the template is no text", "JSON with placeholders, as a text: in quotes, or after |", "")
		return ""
	}
	var text string
	d.Decode(n, &text)
	if _, err := parseTemplate(text, words); err != nil {
		d.Fail(n, err.Error(), "JSON with "+placeholders(words)+" where a value stands", "")
		return ""
	}
	return text
}

func rowWords() []string      { return []string{"op_id", "action", "object", "key", "fields"} }
func envelopeWords() []string { return []string{"records", "batch_id", "object"} }

func placeholders(words []string) string { return "{{" + strings.Join(words, "}}, {{") + "}}" }

// template is text and placeholders in turn. Values are put in as the JSON that
// they are, so that no number passes through a float.
type template []part

// part is literal text, followed by a value unless word is "".
type part struct {
	text string
	word string
	name string // of a member: key.NAME, fields.NAME
}

// parseTemplate compiles a template and makes sure that it is JSON whatever
// values are put in.
func parseTemplate(text string, words []string) (template, error) {
	var out template
	var sample strings.Builder
	rest := text
	for {
		before, after, found := strings.Cut(rest, "{{")
		sample.WriteString(before)
		if !found {
			out = append(out, part{text: before})
			break
		}
		inside, behind, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, fmt.Errorf("{{ is not closed after %q", clip(before, 40))
		}
		word, name, member := strings.Cut(strings.TrimSpace(inside), ".")
		if !slices.Contains(words, word) || member && (name == "" || word != "key" && word != "fields") {
			return nil, fmt.Errorf("unknown placeholder {{%s}}", clip(inside, 40))
		}
		if inString(sample.String()) {
			return nil, fmt.Errorf("{{%s}} stands inside a text, and is a whole value: take the quotes away", inside)
		}
		out = append(out, part{text: before, word: word, name: name})
		sample.WriteString("null")
		rest = behind
	}
	if !json.Valid([]byte(sample.String())) {
		return nil, fmt.Errorf("the template is no JSON: %q", clip(text, 60))
	}
	return out, nil
}

// inString reports whether JSON text ends inside a string.
func inString(text string) bool {
	open := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			open = !open
		case open && text[i] == '\\':
			i++
		}
	}
	return open
}

// literal is how many bytes of a row are not from its key and fields.
func (t template) literal() int {
	n := 0
	for _, p := range t {
		n += len(p.text)
		switch p.word {
		case "op_id":
			n += 66 // a hash in hex, in quotes
		case "action", "object":
			n += 16
		}
	}
	return n + 1
}

// row appends a change.
func (t template) row(buf *bytes.Buffer, object string, c *activate.Change) {
	for _, p := range t {
		buf.WriteString(p.text)
		switch p.word {
		case "op_id":
			quote(buf, c.OpID)
		case "action":
			quote(buf, string(c.Action))
		case "object":
			quote(buf, object)
		case "key":
			splice(buf, c.Key, p.name)
		case "fields":
			splice(buf, c.Fields, p.name)
		}
	}
}

// envelope appends a batch.
func (t template) envelope(buf *bytes.Buffer, row template, b *activate.Batch) {
	for _, p := range t {
		buf.WriteString(p.text)
		switch p.word {
		case "batch_id":
			quote(buf, b.ID)
		case "object":
			quote(buf, b.Object)
		case "records":
			buf.WriteByte('[')
			for i := range b.Changes {
				if i > 0 {
					buf.WriteByte(',')
				}
				row.row(buf, b.Object, &b.Changes[i])
			}
			buf.WriteByte(']')
		}
	}
}

// splice appends an object, or the value of one of its members; null where there
// is none.
func splice(buf *bytes.Buffer, object json.RawMessage, name string) {
	if name == "" {
		if len(object) == 0 {
			object = []byte("{}")
		}
		buf.Write(object)
		return
	}
	value := member(object, name)
	if value == nil {
		value = []byte("null")
	}
	buf.Write(value)
}

// quote appends a JSON string. Ids need no escapes; what does is rare.
func quote(buf *bytes.Buffer, text string) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			out, _ := json.Marshal(text) // a string always has one
			buf.Write(out)
			return
		}
	}
	buf.WriteByte('"')
	buf.WriteString(text)
	buf.WriteByte('"')
}

// member is the text of a member of a JSON object; nil where there is none.
func member(object json.RawMessage, name string) json.RawMessage {
	for key, value := range members(object) {
		if key == name {
			return value
		}
	}
	return nil
}

func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
