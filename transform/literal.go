package transform

import (
	"slices"
	"strings"
	"time"

	"elt/internal/sqlparse"
	"elt/internal/yamlx"
	"elt/window"
)

// marker is a two-way literal: a comment such as /* @window_start */ and the
// literal after it. elt replaces the text between the quotes; every other client
// takes the comment for one and runs the sample.
type marker struct {
	name        string // window_start, window_end, run_date
	offset, end int    // of the quoted text, quotes included
	form        form
}

// form is how the sample is written; what replaces it is written the same way.
type form int

const (
	formDate      form = iota // 2026-03-01
	formTimestamp             // 2026-03-01 00:00:00, in the project's time zone
	formInstant               // 2026-03-01 00:00:00+00
)

func markerNames() []string { return []string{"window_start", "window_end", "run_date"} }

// markers finds the two-way literals of a text.
func markers(text string) ([]marker, []*sqlparse.Error) {
	tokens := slices.Collect(sqlparse.Tokens(text))
	var found []marker
	var errs []*sqlparse.Error
	for i, t := range tokens {
		name, ok := strings.CutPrefix(t.Value(), "@")
		if t.Kind != sqlparse.Comment || !ok || name == "" || strings.ContainsAny(name, " \t\r\n") {
			continue
		}
		if !slices.Contains(markerNames(), name) {
			if near := yamlx.DidYouMean(name, markerNames()); near != "" || strings.HasPrefix(name, "window") {
				errs = append(errs, sqlparse.ErrorAt(text, t.Offset, "unknown marker @"+name, near))
			}
			continue
		}
		m, ok := literalAfter(name, tokens[i+1:])
		if !ok {
			errs = append(errs, sqlparse.ErrorAt(text, t.Offset, "no date or timestamp follows @"+name,
				"write /* @"+name+" */ date '2026-03-01' or timestamp '2026-03-01 00:00:00'"))
			continue
		}
		found = append(found, m)
	}
	return found, errs
}

// literalAfter reads the literal that tokens begin with: an optional type and a
// string that holds a date or a timestamp.
func literalAfter(name string, tokens []sqlparse.Token) (marker, bool) {
	var words []string
	for _, t := range tokens {
		switch {
		case t.Kind == sqlparse.Comment:
		case t.Kind == sqlparse.Word && len(words) < 4:
			words = append(words, strings.ToLower(t.Text))
		case t.Kind == sqlparse.String && t.Text[0] == '\'' && len(t.Text) >= 2:
			f, ok := formOf(strings.Join(words, " "), t.Value())
			return marker{name: name, offset: t.Offset, end: t.End, form: f}, ok
		default:
			return marker{}, false
		}
	}
	return marker{}, false
}

// formOf is how to write a value of SQL type typ, given the sample.
func formOf(typ, sample string) (form, bool) {
	written, ok := sampleForm(sample)
	if !ok {
		return 0, false
	}
	switch typ {
	case "":
		return written, true
	case "date":
		return formDate, written == formDate
	case "timestamp", "timestamp without time zone":
		return formTimestamp, written != formInstant
	case "timestamptz", "timestamp with time zone":
		return formInstant, true
	}
	return 0, false
}

func sampleForm(s string) (form, bool) {
	s = strings.Replace(strings.TrimSpace(s), "T", " ", 1)
	for _, l := range []struct {
		layout string
		form   form
	}{
		{time.DateOnly, formDate},
		{"2006-01-02 15:04", formTimestamp}, {time.DateTime, formTimestamp},
		{"2006-01-02 15:04:05Z07", formInstant}, {"2006-01-02 15:04:05Z07:00", formInstant}, {"2006-01-02 15:04:05-07", formInstant},
	} {
		if _, err := time.Parse(l.layout, s); err == nil {
			return l.form, true
		}
	}
	return 0, false
}

// literal is the quoted text that takes the sample's place. A date covers whole
// days of the zone: the start of a window is rounded down, its end up.
func (m marker) literal(w window.Window, now time.Time, zone *time.Location) string {
	var at time.Time
	switch m.name {
	case "window_start":
		if at = w.Start; at.IsZero() {
			at = time.Date(1, 1, 2, 0, 0, 0, 0, zone)
		}
	case "window_end":
		if at = w.End; at.IsZero() {
			at = time.Date(9999, 12, 30, 0, 0, 0, 0, zone)
		}
		if day := window.StartOfDay(at, zone); m.form == formDate && day.Before(at) {
			at = nextDay(at, zone)
		}
	default:
		at = window.StartOfDay(now, zone)
	}
	return literal(m.form, at, zone)
}

// literal writes an instant between quotes.
func literal(f form, at time.Time, zone *time.Location) string {
	switch f {
	case formDate:
		return "'" + at.In(zone).Format(time.DateOnly) + "'"
	case formTimestamp:
		return "'" + at.In(zone).Format("2006-01-02 15:04:05.999999") + "'"
	default:
		return "'" + at.UTC().Format("2006-01-02 15:04:05.999999") + "+00'"
	}
}

// nextDay is the start of the day after the one that t lies in.
func nextDay(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return window.StartOfDay(time.Date(y, m, d+1, 12, 0, 0, 0, zone), zone)
}
