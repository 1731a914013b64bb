package fake

import (
	"context"

	"elt/activate"
)

// underway is the key of the outage of a call in its context.
type underway struct{}

func with(ctx context.Context, o Outage) context.Context {
	return context.WithValue(ctx, underway{}, o)
}

func outageOf(ctx context.Context) Outage {
	o, _ := ctx.Value(underway{}).(Outage) // none: Fine
	return o
}

// faulty is a store that does and tells what the outage of a call leaves of it,
// and that refuses the rows that it is told to.
type faulty struct {
	activate.Store
	faults *Faults
}

// Take implements [activate.Store]. What an outage hides has no Outcome.
func (f faulty) Take(ctx context.Context, b activate.Batch, atomic bool) ([]activate.Outcome, error) {
	o := outageOf(ctx)
	var refused []activate.Outcome
	var rest []activate.Change
	hidden := map[string]bool{}
	for i, c := range b.Changes {
		if o.Hides(i) {
			hidden[c.OpID] = true
		}
		switch {
		case o.Skips(i):
		case f.faults.refuses(c):
			refused = append(refused, activate.Outcome{OpID: c.OpID, Status: activate.Rejected, Code: "refused", Message: "the stand-in refuses this row, as it was told to"})
		default:
			rest = append(rest, c)
		}
	}
	if atomic && len(refused) > 0 {
		return refused, nil
	}
	done, err := f.Store.Take(ctx, activate.Batch{ID: b.ID, Object: b.Object, Changes: rest}, atomic)
	if err != nil {
		return nil, err
	}
	var told []activate.Outcome
	for _, out := range append(done, refused...) {
		if !hidden[out.OpID] {
			out.DestID = destID(b, out)
			told = append(told, out)
		}
	}
	return told, nil
}

// destID is the id that a stand-in gives to a row: the same for the same key.
func destID(b activate.Batch, o activate.Outcome) string {
	for _, c := range b.Changes {
		if c.OpID == o.OpID && o.Status == activate.Acked {
			return ID(c.Key)
		}
	}
	return ""
}
