package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Book keeps the records. Its methods are called one after the other.
type Book interface {
	// Alone returns once no other process tells from this book, and until release
	// is called none begins to. The returned context ends when that is lost.
	Alone(ctx context.Context) (held context.Context, release func(), err error)
	// Read returns all records, in any order.
	Read(ctx context.Context) ([]Record, error)
	// Write replaces the records of the same place and subject; all or none.
	Write(ctx context.Context, records []Record) error
}

// Sender delivers a message. An [*UnsureError] means that it perhaps arrived, any
// other error that it surely did not.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Reader is a place with the way to it.
type Reader struct {
	Place
	Sender Sender
}

// Teller tells what is due after a run.
type Teller struct {
	Readers []Reader
	Where   Where
	Now     func() time.Time
	Redact  func(string) string // takes secrets out of a text; nil: none are known
	// Exists reports whether a subject is still of the project: what was deleted
	// while it failed is forgotten. nil: all are.
	Exists func(subject string) bool
}

// Outcome is what became of one message.
type Outcome struct {
	To   string
	Told int   // subjects in the message
	Err  error // nil: it was delivered
}

// Tell records what a run saw and sends what is due, one message a place. It
// returns an error when the book fails; what could not be delivered is in the
// outcomes, and is due again the next time. Nothing of both changes how the run
// ended.
func (t *Teller) Tell(ctx context.Context, book Book, seen []Observation) (out []Outcome, err error) {
	ctx, release, err := book.Alone(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for another run that tells: %w", err)
	}
	defer release()
	if t.Redact != nil { // what is kept is read by whoever reads the book
		seen = scrubbed(seen, t.Redact)
	}
	stored, err := book.Read(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range t.Readers {
		o, err := t.tellOne(ctx, book, r, stored, seen)
		if o != nil {
			out = append(out, *o)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// scrubbed are observations with every text of theirs passed through clean. Names of
// subjects stay: they are what the book finds its records by.
func scrubbed(seen []Observation, clean func(string) string) []Observation {
	seen = slices.Clone(seen)
	for i := range seen {
		if seen[i].Problem != nil {
			p := seen[i].Problem.scrub(clean)
			seen[i].Problem = &p
		}
	}
	return seen
}

// tellOne brings one place up to date.
func (t *Teller) tellOne(ctx context.Context, book Book, to Reader, stored []Record, seen []Observation) (*Outcome, error) {
	now := t.Now()
	var due []item
	var changed, before []Record
	for _, r := range t.upToDate(to, stored, seen) {
		switch d := r.now.Due(to.Place, now); {
		case d == Clear:
			changed = append(changed, r.now.Attempt(now).Delivered(now))
		case d != Nothing:
			due = append(due, item{r.now, d})
			before = append(before, r.now)
			changed = append(changed, r.now.Attempt(now))
		case r.changed:
			changed = append(changed, r.now)
		}
	}
	if len(changed) > 0 { // the intent stands before the message leaves
		if err := book.Write(ctx, changed); err != nil {
			return nil, err
		}
	}
	if len(due) == 0 {
		return nil, nil
	}
	m := compose(due, t.Where, now)
	if t.Redact != nil {
		m = m.scrub(t.Redact)
	}
	o := &Outcome{To: to.To, Told: len(due), Err: to.Sender.Send(ctx, m)}
	return o, t.settle(context.WithoutCancel(ctx), book, before, o.Err)
}

// settle records what became of the message about records.
func (t *Teller) settle(ctx context.Context, book Book, records []Record, sent error) error {
	var unsure *UnsureError
	if errors.As(sent, &unsure) {
		return nil // the intent stands
	}
	now := t.Now()
	after := make([]Record, len(records))
	for i, r := range records {
		after[i] = r // as it was before the attempt
		if sent == nil {
			after[i] = r.Delivered(now)
		}
	}
	return book.Write(ctx, after)
}

type looked struct {
	now     Record
	changed bool
}

// upToDate are the records of a place after what a run saw; a subject that is well
// and was never told of has none.
func (t *Teller) upToDate(to Reader, stored []Record, seen []Observation) []looked {
	at := map[string]int{}
	var out []looked
	for _, r := range stored {
		if r.To != to.To {
			continue
		}
		if t.Exists != nil && !t.Exists(r.Subject) {
			if !r.Seen.ok() || !r.Told.ok() {
				out = append(out, looked{Record{To: r.To, Subject: r.Subject, Seen: Known{State: OK, At: t.Now()}}, true})
			}
			continue
		}
		at[r.Subject] = len(out)
		out = append(out, looked{now: r})
	}
	for _, o := range seen {
		i, known := at[o.Subject]
		if !known {
			if o.Problem == nil {
				continue
			}
			i = len(out)
			at[o.Subject] = i
			out = append(out, looked{now: Record{To: to.To, Subject: o.Subject}})
		}
		was := out[i].now
		out[i].now = was.See(o)
		// When it was last seen well or in the same trouble is not worth a write.
		out[i].changed = out[i].changed || !was.Seen.same(out[i].now.Seen) || known && was.gone() != out[i].now.gone()
	}
	return out
}
