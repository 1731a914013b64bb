package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"elt/activate"
	"elt/internal/check"
	"elt/internal/lineage"
	"elt/internal/project"
	"elt/internal/scan"
	"elt/internal/warehouse"
)

// Masked stands for a value that may be personal.
const Masked = "***"

// Personal tells of every table of the project which columns may be personal:
// those that a stream marks with pii, and what models make of them.
func (p *Pipeline) Personal() lineage.Tables {
	p.personalOnce.Do(func() {
		p.personal = lineage.Tables{}
		for _, src := range p.Project.Sources {
			for _, st := range src.Streams {
				if len(st.PII) > 0 {
					p.personal.Mark(src.Name+"."+st.Name, slices.Sorted(maps.Keys(st.PII))...)
				}
			}
		}
		for _, m := range p.Graph.Models {
			p.personal.Trace(lineage.Model{Name: m.FullName(), Flow: m.Flow()})
		}
	})
	return p.personal
}

// unmarked warns of each column that pii names and the table does not have: a
// misspelt mark hides nothing.
func (l *loading) unmarked(columns []warehouse.Column) []check.Finding {
	var out []check.Finding
	for _, name := range slices.Sorted(maps.Keys(l.st.PII)) {
		if !slices.ContainsFunc(columns, func(c warehouse.Column) bool { return strings.EqualFold(c.Name, name) }) {
			out = append(out, check.Finding{Check: "pii", Relation: l.relation, Severity: check.Warn,
				Observed: fmt.Sprintf("no column %q", name), Expected: "the names of columns of the table"})
		}
	}
	return out
}

// leaks are the fields of a sync that would push personal data without leave.
func (p *Pipeline) leaks(s *project.Sync) []*project.Error {
	columns := p.Personal().Of(s.Model)
	allowed := map[string]bool{} // columns that some field may carry
	var out []*project.Error
	for _, f := range s.Fields {
		if f.AllowPII {
			allowed[strings.ToLower(f.Column)] = true
			continue
		}
		if from := columns.Origin(f.Column); from != "" {
			out = append(out, leak(f.Pos, columns, s, fmt.Sprintf("field %q", f.Theirs), f.Column,
				fmt.Sprintf("write %s: {column: %s, allow_pii: true} if it may leave, or delete the field", f.Theirs, f.Column)))
		}
	}
	mapped := map[string]bool{} // reported above
	for _, f := range s.Fields {
		mapped[strings.ToLower(f.Column)] = true
	}
	for _, k := range s.Key {
		if key := strings.ToLower(k); columns.Origin(k) != "" && !allowed[key] && !mapped[key] {
			out = append(out, leak(s.Pos, columns, s, "the key", k, fmt.Sprintf("add it to fields as %s: {column: %s, allow_pii: true} if it may leave, or use another key", k, k)))
		}
	}
	return out
}

func leak(at project.Pos, columns lineage.Columns, s *project.Sync, what, column, hint string) *project.Error {
	from := columns.Origin(column)
	msg := fmt.Sprintf("%s of sync %s pushes personal data: %s.%s comes from %s", what, s.Name, s.Model, column, from)
	if from == columns.Unsure() {
		msg = fmt.Sprintf("%s of sync %s may push personal data: %s.%s cannot be told from %s, which the model reads", what, s.Name, s.Model, column, from)
		hint += "\n  a model is followed where it names its columns: no PIVOT, no union of stars"
	}
	return &project.Error{Pos: at, Msg: msg, Expected: "allow_pii: true where personal data may leave", Hint: hint}
}

// maskSamples hides what may be personal in the sample rows of a finding on
// relation, before anybody stores, logs or prints them. The columns of a check of
// kind sql are those of a query of its own: all are hidden where anything is
// marked.
func (p *Pipeline) maskSamples(relation string, f check.Finding) check.Finding {
	if len(f.Samples) == 0 || !p.anyPersonal() {
		return f
	}
	columns := p.Personal().Of(relation)
	hide := func(name string) bool { return columns.Origin(name) != "" }
	if f.Check == "sql" {
		hide = func(string) bool { return true }
	}
	masked := make([]string, len(f.Samples))
	for i, s := range f.Samples {
		masked[i] = maskObject(s, hide)
	}
	f.Samples = masked
	return f
}

// anyPersonal reports whether any column of the project is marked.
func (p *Pipeline) anyPersonal() bool {
	for _, columns := range p.Personal() {
		if columns.Any() != "" {
			return true
		}
	}
	return false
}

// maskKeys hides what may be personal in the rows that a sync tells of.
func (p *Pipeline) maskKeys(s *project.Sync, r activate.Result) activate.Result {
	r.Samples, r.Twins.Samples = slices.Clone(r.Samples), slices.Clone(r.Twins.Samples)
	for i, key := range r.Twins.Samples {
		r.Twins.Samples[i] = p.MaskPushed(s, key)
	}
	for i := range r.Samples {
		sample := &r.Samples[i]
		sample.Reason = p.MaskSaid(s, sample.Reason, sample.Key, sample.Payload)
		sample.Key, sample.Payload = p.MaskPushed(s, sample.Key), p.MaskPushed(s, sample.Payload)
	}
	return r
}

// MaskPushed hides what may be personal in a key or a payload of a sync, an
// object under the destination's names.
func (p *Pipeline) MaskPushed(s *project.Sync, object string) string {
	hide, _ := p.hides(s)
	return maskObject(object, hide)
}

// maskObject hides values of a JSON object by their names. What is no object is
// hidden as a whole.
func maskObject(text string, hide func(name string) bool) string {
	d := json.NewDecoder(strings.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return Masked
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for first := true; d.More(); first = false {
		name, err := d.Token()
		key, ok := name.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return Masked
		}
		if hide(key) && string(value) != "null" {
			value = json.RawMessage(`"` + Masked + `"`)
		}
		quoted, err := json.Marshal(key)
		if err != nil {
			return Masked
		}
		if !first {
			b.WriteByte(',')
		}
		b.Write(quoted)
		b.WriteByte(':')
		b.Write(value)
	}
	if _, err := d.Token(); err != nil || d.More() {
		return Masked
	}
	b.WriteByte('}')
	return b.String()
}

// MaskReject hides what may be personal in a quarantined row of st: the marked
// columns of a payload that is an object, else the whole payload; what the reason
// says of the values that were found, of whichever column, because a row that does
// not fit may be one whose values stand in each other's places; and a place that
// is told by a marked key.
func MaskReject(st *project.Stream, r scan.Reject) scan.Reject {
	if len(st.PII) == 0 {
		return r
	}
	marked := func(name string) bool {
		for column := range st.PII {
			if bare(column) == bare(name) {
				return true
			}
		}
		return false
	}
	r.Payload = maskObject(r.Payload, marked)
	if slices.ContainsFunc(st.Key, marked) && strings.Contains(r.Locator, "=") {
		r.Locator = Masked
	}
	r.Reason = maskReason(r.Reason)
	return r
}

// maskReason keeps of a reason what is known to hold no value: the column and what
// was expected of it. All else is hidden, a reason of unknown wording as a whole.
func maskReason(reason string) string {
	const lines = `expected one JSON object a line`
	const typ = `[A-Z]+[A-Z ]*(\([0-9, ]+\))?`
	// What the readers, DuckDB's of CSV among them, and the loads say. A value may
	// follow where an expression ends.
	fixed := regexp.MustCompile(`(?s)^(` + strings.Join([]string{
		`column .+?: expected .+?, found `,
		`Error when converting column ".+?"\. Could not convert string `,
		`Expected Number of Columns: \d+ Found: \d+`,
		`Value with unterminated quote found\.`,
		`Maximum line size of \d+ bytes exceeded\.( Actual Size:\d+ bytes\.)?`,
		`not valid UTF-8(, ` + lines + `|; if the file is in another encoding, say so in the stream: csv: {encoding: [a-z0-9-]+})?`,
		`not valid JSON(, ` + lines + `| at byte \d+ )?`,
		`JSON that ends early, ` + lines,
		`a JSON value that is no object, ` + lines,
		`column ".+?": (text that is not valid UTF-8|(text with a NUL byte|JSON text with half a surrogate pair), which PostgreSQL cannot store)`,
		`column ".+?" is not in the contract of .+`,
		`the value of column ".+?" is no .+`,
		`the key \(.+\) has a NULL`,
		`table .+? does not exist, and its contract makes no new tables`,
		`column .+? holds (text that is not UTF-8, in a database whose encoding is SQL_ASCII` +
			`|a numeric that does not fit its declared precision` +
			`|a number that DECIMAL\(\d+,\d+\) does not hold without loss(: expected at most \d+ digits before the point and \d+ behind it; say a wider DECIMAL in columns, or round in a view)?` +
			`|an infinite date or time, which has no place in a calendar: expected a finite one, or infinity: null` +
			`|a time that is out of range: expected one before the year 294247` +
			`|an interval that is out of range: expected hours of less than 292 years` +
			`|NaN or infinity, which no decimal holds: expected a number, or nan: null)`,
	}, `|`) + `)`)
	known := fixed.FindString(reason)
	if known == reason {
		return reason
	}
	return known + Masked + regexp.MustCompile(` to '`+typ+`'$`).FindString(reason[len(known):])
}

// bare makes the names of a source comparable with those of its table: letters
// and digits alone, in lower case.
func bare(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}
