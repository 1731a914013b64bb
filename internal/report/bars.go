package report

import (
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"elt/internal/event"
)

// Bars shows the steps under way on a terminal, above them the lines of Plain.
type Bars struct {
	plain *Plain
	out   *mpb.Progress
	bars  map[string]*mpb.Bar
}

// NewBars writes to the terminal w.
func NewBars(w io.Writer, loc *time.Location) *Bars {
	out := mpb.New(mpb.WithOutput(w), mpb.WithRefreshRate(150*time.Millisecond), mpb.WithAutoRefresh())
	return &Bars{out: out, plain: NewPlain(out, loc), bars: map[string]*mpb.Bar{}}
}

// Emit implements [event.Sink].
func (b *Bars) Emit(e event.Event) {
	switch {
	case e.Progress != nil:
		bar := b.bars[e.Progress.Name]
		if bar == nil {
			bar = b.out.New(0, mpb.SpinnerStyle().PositionLeft(), mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(e.Progress.Kind+" "+e.Progress.Name+" ", decor.WCSyncSpaceR)),
				mpb.AppendDecorators(decor.CurrentNoUnit("%d rows"), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 8})))
			b.bars[e.Progress.Name] = bar
		}
		bar.SetCurrent(e.Progress.Rows)
		return
	case e.Step != nil:
		if bar := b.bars[e.Step.Name]; bar != nil {
			bar.SetTotal(-1, true)
			delete(b.bars, e.Step.Name)
		}
	case e.End != nil:
		for _, bar := range b.bars {
			bar.Abort(true)
		}
		defer b.out.Wait()
	}
	b.plain.Emit(e)
}
