package activate

import (
	"context"
	"time"
)

// Abandon gives the lock back and leaves all else, as a process that dies.
func (p *Plan) Abandon() { p.held(); p.held = nil }

// JSONObject is jsonObject for tests of one member.
func JSONObject(engine, name, expr, typ string) (string, error) {
	return jsonObject(engine, []member{{name: name, expr: expr, typ: typ}})
}

// Pacer is a pacer whose slots come from a func.
type Pacer struct{ p *pacer }

// NewPacer paces by rates. book books n slots that are every apart, the first not
// before lead has passed, and returns it.
func NewPacer(rates []Rate, book func(ctx context.Context, n int, every, lead time.Duration) (time.Time, error)) *Pacer {
	a := newAccount(nil, "", rates)
	a.pace.book = func(ctx context.Context, n int, lead time.Duration, _ block) (block, error) {
		first, err := book(ctx, n, a.every, lead)
		return block{next: first, left: n, size: n}, err
	}
	return &Pacer{a.pace}
}

// Take is take.
func (p *Pacer) Take(ctx context.Context) error { return p.p.take(ctx, Options{}.defaults().Sleep) }

// Close is close.
func (p *Pacer) Close() { p.p.close() }
