package report_test

import (
	"strings"
	"testing"
	"time"

	"elt/internal/event"
	"elt/internal/report"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"plain ü\n", "\n", "plain ü\n"},
		{"a\x1b[31mb\x00\x7f\u0085", "", `a\x1b[31mb\x00\x7f\u0085`},
		{"a\tb\nc", "\n", "a\\tb\nc"},
	} {
		if got := report.Visible(c[0], c[1]); got != c[2] {
			t.Errorf("%q: got %q, want %q", c[0], got, c[2])
		}
	}
}

// A value of a source that stands in a warning or an error does not reach the
// terminal as a command to it.
func TestPlainObeysNoValue(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := report.NewPlain(&out, time.UTC)
	const red = "\x1b[31mred"
	p.Emit(event.Event{Step: &event.Step{Kind: "extract", Name: "in.a", Status: event.Failed, Error: "no number: " + red + "\nlook at it",
		Result: event.Result{Warnings: []event.Warning{{Subject: "in.a", Text: red, Detail: red}}}}})
	p.Emit(event.Event{End: &event.End{Status: event.Failed, Exit: 1}})
	if s := out.String(); strings.Contains(s, "\x1b") || strings.Count(s, `\x1b[31mred`) != 3 || !strings.Contains(s, "\n         look at it") {
		t.Errorf("printed %q", s)
	}
}
