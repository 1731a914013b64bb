package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"elt/activate"
	"elt/activate/file"
	"elt/internal/retry"
)

// Options say where a stand-in keeps its rows, and what goes wrong.
type Options struct {
	Dir    string  // one file of JSON lines for each object, in the format of package file
	Faults *Faults // nil: none
}

// store opens the store of an object.
func (o Options) store(object string) (activate.Store, error) {
	s, err := file.Store(o.Dir, strings.TrimLeft(url.PathEscape(object), "."))
	if err != nil {
		return nil, fmt.Errorf("stand-in: %w", err)
	}
	return faulty{s, o.Faults}, nil
}

// Path is the file that a stand-in keeps the rows of an object in.
func (o Options) Path(object string) string {
	return filepath.Join(o.Dir, strings.TrimLeft(url.PathEscape(object), ".")+".jsonl")
}

// ID is the destination's id of a row in a stand-in.
func ID(key json.RawMessage) string { return "fake-" + activate.Fingerprint(string(key))[:12] }

// Open opens the stand-in of a destination: a service on a port of this machine
// where the kind is one of HTTP, which goes the whole way that a call goes; else
// one in this process. Its limits are those of the real one.
func Open(ctx context.Context, kind activate.Kind, c activate.Config, o Options) (activate.Connector, error) {
	store, err := o.store(c.Object)
	if err != nil {
		return activate.Connector{}, err
	}
	if kind.Serve != nil {
		conn, err := serve(ctx, kind, c, store, o)
		if err != nil {
			return activate.Connector{}, errors.Join(err, store.Close())
		}
		return conn, nil
	}
	limits, err := limitsOf(kind, c)
	if err != nil {
		return activate.Connector{}, errors.Join(err, store.Close())
	}
	d := &destination{limits: limits, store: store, faults: o.Faults}
	conn := activate.Connector{Destination: d}
	if limits.Replay == activate.Reconcile {
		conn.Lookup = d
	}
	return conn, nil
}

// limitsOf are those that the kind declares; those of a file where it cannot say.
func limitsOf(kind activate.Kind, c activate.Config) (activate.Limits, error) {
	if kind.Limits == nil {
		return file.Kind().Limits(c)
	}
	return kind.Limits(c)
}

// destination stands in for one that is not reached over HTTP.
type destination struct {
	limits activate.Limits
	store  activate.Store
	faults *Faults
}

// Limits implements [activate.Destination].
func (d *destination) Limits() activate.Limits { return d.limits }

// Close implements [activate.Destination].
func (d *destination) Close() error { return d.store.Close() }

// Push implements [activate.Destination].
func (d *destination) Push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	if ctx.Err() != nil {
		return nil, retry.AsTransient(context.Cause(ctx))
	}
	if len(b.Changes) > d.limits.BatchRows {
		return nil, &activate.RefusedError{Code: "too_many", Message: fmt.Sprintf("%d rows in a call, and the limit is %d", len(b.Changes), d.limits.BatchRows)}
	}
	o := d.faults.draw()
	if err := o.refused(); err != nil {
		return nil, err
	}
	outcomes, err := d.store.Take(with(ctx, o), b, false)
	if err != nil {
		return nil, err
	}
	switch o {
	case CutAfter, Failed, HalfWritten, Truncated, WrongLength, Garbled, Bomb:
		return nil, fmt.Errorf("the stand-in lost its answer, as it was told to (%s)", o)
	case Slow:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return outcomes, nil
}

// refused is the error of a call that does nothing.
func (o Outage) refused() error {
	told := fmt.Errorf("the stand-in does nothing, as it was told to (%s)", o)
	switch o {
	case CutBefore, Down:
		return retry.AsTransient(told)
	case Limited, Busy:
		return retry.After(told, 2*time.Second)
	case Conflict:
		return &activate.RefusedError{Code: "conflict", Message: told.Error()}
	case Revoked, Loop:
		return &activate.BarredError{Code: o.String(), Err: told, Hint: "take the fault out of the target"}
	}
	return nil
}

// Find implements [activate.Lookup]: a row is there as it was sent when the
// operation was the last one on it.
func (d *destination) Find(ctx context.Context, changes []activate.Change) ([]activate.Outcome, error) {
	var found []activate.Outcome
	for _, c := range changes {
		row, err := d.store.Find(ctx, c.Key)
		if err != nil {
			return found, err
		}
		o := activate.Outcome{OpID: c.OpID, Status: activate.Retry, Code: "not_found"}
		if gone := c.Action == activate.Delete; gone && row == nil || !gone && row != nil && row.OpID == c.OpID {
			o = activate.Outcome{OpID: c.OpID, Status: activate.Acked, DestID: ID(c.Key)}
		}
		found = append(found, o)
	}
	return found, nil
}
