package pipeline

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"elt/activate"
	"elt/internal/project"
)

// MaskSaid hides in what a destination says of a call the values of its rows that may
// be personal, since many quote what they refuse. rows are what it may speak of: keys
// and payloads, objects under the destination's names.
func (p *Pipeline) MaskSaid(s *project.Sync, said string, rows ...string) string {
	hide, some := p.hides(s)
	if !some || said == "" {
		return said
	}
	var values []string
	for _, row := range rows {
		for name, value := range members(row) {
			if hide(name) {
				values = append(values, spellings(value)...)
			}
		}
	}
	return maskValues(said, values)
}

// masker is MaskSaid of the rows of a call of a sync.
func (p *Pipeline) masker(s *project.Sync) func(said string, of []activate.Change) string {
	return func(said string, of []activate.Change) string {
		rows := make([]string, 0, 2*len(of))
		for _, c := range of {
			rows = append(rows, string(c.Key), string(c.Fields))
		}
		return p.MaskSaid(s, said, rows...)
	}
}

// hides tells which fields of a sync, and columns of its model, may be personal; some
// is false where none is.
func (p *Pipeline) hides(s *project.Sync) (hide func(theirs string) bool, some bool) {
	columns := p.Personal().Of(s.Model)
	return func(theirs string) bool {
		for _, f := range s.Fields {
			if f.Theirs == theirs && columns.Origin(f.Column) != "" {
				return true
			}
		}
		return columns.Origin(theirs) != ""
	}, columns.Any() != ""
}

// spellings are a JSON value as it may be quoted: a text as it is and as JSON has it,
// anything else as it was sent.
func spellings(value json.RawMessage) []string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return []string{string(value)}
	}
	list := []string{text}
	if quoted := string(value[1 : len(value)-1]); quoted != text {
		list = append(list, quoted)
	}
	return list
}

// maskValues hides values in a text where they stand by themselves: those that are
// parts of others after these, and none that is a part of a word or a number. A value
// that the end of a text that was cut short has begun is hidden too.
func maskValues(text string, values []string) string {
	values = slices.DeleteFunc(values, func(v string) bool { return len(v) < 2 || v == Masked || v == "null" })
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	values = slices.Compact(values)
	for _, v := range values {
		text = replaceWhole(text, v)
	}
	const shortest = 3
	before, after, cut := strings.Cut(text, "…")
	for i := 0; cut && i < len(values); i++ {
		for n := len(values[i]) - 1; n >= shortest; n-- {
			if rest, ok := strings.CutSuffix(before, values[i][:n]); ok && !joins(rest, values[i]) {
				return rest + Masked + "…" + after
			}
		}
	}
	return text
}

// replaceWhole hides v in text where no letter or digit makes it a part of another word.
func replaceWhole(text, v string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, v)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		before, after := text[:i], text[i+len(v):]
		b.WriteString(before)
		if joins(b.String(), v) || joins(v, after) {
			b.WriteString(v)
		} else {
			b.WriteString(Masked)
		}
		text = after
	}
}

// joins reports whether a word or a number goes on from the end of a into b.
func joins(a, b string) bool {
	last, _ := utf8.DecodeLastRuneInString(a)
	first, _ := utf8.DecodeRuneInString(b)
	word := func(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
	return word(last) && word(first)
}
