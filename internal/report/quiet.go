package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"elt/internal/event"
)

// Quiet keeps what another sink would print and writes it only if the run ends
// with an exit code other than 0.
type Quiet struct {
	buf  *strings.Builder
	sink event.Sink
	w    io.Writer
}

// NewQuiet writes what [Plain] would to w.
func NewQuiet(w io.Writer, loc *time.Location) *Quiet {
	var buf strings.Builder
	return &Quiet{buf: &buf, sink: NewPlain(&buf, loc), w: w}
}

// NewQuietJSON writes what [JSON] would to w.
func NewQuietJSON(w io.Writer) *Quiet {
	var buf strings.Builder
	return &Quiet{buf: &buf, sink: NewJSON(&buf), w: w}
}

// Emit implements [event.Sink].
func (q *Quiet) Emit(e event.Event) {
	q.sink.Emit(e)
	if e.End != nil && e.End.Exit != 0 {
		fmt.Fprint(q.w, q.buf.String())
	}
}
