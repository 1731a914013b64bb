package activatetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"elt/activate"
	"elt/internal/retry"
)

// Fault is what goes wrong with one call.
type Fault int

// The faults, from none to the process that dies.
const (
	None        Fault = iota
	LoseReply         // everything is done, the answer does not come
	HalfReply         // everything is done, every other change is answered
	HalfDone          // every other change is done, no answer comes
	RefuseAll         // the call is refused before anything happens
	RetrySome         // every other change is refused for now
	CrashBefore       // the process dies before the call
	CrashAfter        // the process dies after the call
	Later             // the call is refused, not before Memory.After
	Bar               // the call is refused, as every other would be
	LoseCall          // nothing is done, and no answer comes
)

// Faults are all faults, for tests that draw one.
func Faults() []Fault {
	return []Fault{None, LoseReply, HalfReply, HalfDone, RefuseAll, RetrySome, CrashBefore, CrashAfter, Later, Bar, LoseCall}
}

// Crash is what Memory panics with when the process is to die.
type Crash struct{}

// Memory is a destination that fails as it is told. It knows operations by
// their id, as the idempotent replay class promises; of the class reconcile it does
// everything again, and can be asked with Find.
type Memory struct {
	Max    activate.Limits
	Fault  func(call int, b activate.Batch) Fault // nil: none
	Reject func(c activate.Change) string         // a reason to refuse a change for good; nil: none
	Poison func(c activate.Change) string         // a reason to refuse every call with that change in it; nil: none
	After  time.Duration                          // what Later asks to wait
	// Blind is asked before Find answers: an error is the answer. nil: none.
	Blind func(changes []activate.Change) error
	// Before is called before each call; calls side by side are so there too. nil:
	// nothing happens.
	Before func(ctx context.Context, b activate.Batch)

	mu    sync.Mutex
	calls int
	ops   map[string]bool
	rows  map[string]string // by key
	log   []Row             // of appends

	deleted []string // keys, in the order of their deletes
}

// NewMemory is an empty destination with all modes and batches of n rows.
func NewMemory(n int) *Memory {
	return &Memory{
		Max: activate.Limits{BatchRows: n, Replay: activate.Idempotent, Modes: []string{
			activate.ModeUpsert, activate.ModeUpdate, activate.ModeInsert, activate.ModeAppend, activate.ModeMirror,
		}},
		ops: map[string]bool{}, rows: map[string]string{},
	}
}

// Limits are Max.
func (m *Memory) Limits() activate.Limits { return m.Max }

// Close does nothing.
func (m *Memory) Close() error { return nil }

// Rows are the rows, appended ones first.
func (m *Memory) Rows() []Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Clone(m.log)
	for _, k := range slices.Sorted(maps.Keys(m.rows)) {
		list = append(list, Row{k, m.rows[k]})
	}
	return list
}

// Deleted are the keys that were deleted so far, in their order.
func (m *Memory) Deleted() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.deleted)
}

// Calls is the number of pushes so far.
func (m *Memory) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Put changes a row behind elt's back.
func (m *Memory) Put(key, fields string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[key] = fields
}

// Push does what Fault says.
func (m *Memory) Push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	if m.Before != nil {
		m.Before(ctx, b)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return nil, retry.AsTransient(context.Cause(ctx))
	}
	m.calls++
	if len(b.Changes) > m.Max.BatchRows {
		return nil, errors.New("the batch has more rows than the limit")
	}
	fault := None
	if m.Fault != nil {
		fault = m.Fault(m.calls, b)
	}
	switch fault {
	case RefuseAll:
		return nil, retry.AsTransient(errors.New("busy"))
	case Later:
		return nil, retry.After(errors.New("too many requests"), m.After)
	case Bar:
		return nil, &activate.BarredError{Code: "revoked", Err: retry.Asked(errors.New("the token was revoked"), m.After), Hint: "make another token"}
	case LoseCall:
		return nil, retry.Asked(errors.New("connection reset"), m.After)
	case CrashBefore:
		panic(Crash{})
	}
	for _, c := range b.Changes {
		if m.Poison != nil && m.Poison(c) != "" {
			return nil, &activate.RefusedError{Code: "conflict", Message: m.Poison(c)}
		}
	}
	var outs []activate.Outcome
	for i, c := range b.Changes {
		odd := i%2 == 1
		switch {
		case fault == HalfDone && odd:
			continue
		case fault == RetrySome && odd:
			outs = append(outs, activate.Outcome{OpID: c.OpID, Status: activate.Retry, Code: "locked"})
			continue
		}
		o := m.apply(c)
		if fault == HalfReply && odd {
			continue
		}
		outs = append(outs, o)
	}
	switch fault {
	case CrashAfter:
		panic(Crash{})
	case LoseReply, HalfDone:
		return nil, errors.New("connection reset")
	}
	slices.Reverse(outs) // the order means nothing
	return outs, nil
}

func (m *Memory) apply(c activate.Change) activate.Outcome {
	o := activate.Outcome{OpID: c.OpID, Status: activate.Acked, DestID: "id-" + string(c.Key)}
	if m.ops[c.OpID] && m.Max.Replay != activate.Reconcile {
		return o
	}
	_, there := m.rows[string(c.Key)]
	reason := ""
	switch {
	case m.Reject != nil && m.Reject(c) != "":
		reason = m.Reject(c)
	case c.Action == activate.Create && there:
		reason = "exists"
	case c.Action == activate.Update && !there:
		reason = "not_found"
	}
	if reason != "" {
		return activate.Outcome{OpID: c.OpID, Status: activate.Rejected, Code: "refused", Message: reason}
	}
	m.ops[c.OpID] = true
	if c.Action == activate.Delete { // a row that is not there is as it should be
		delete(m.rows, string(c.Key))
		m.deleted = append(m.deleted, string(c.Key))
		return o
	}
	if c.Action == activate.Append {
		m.log = append(m.log, Row{string(c.Key), string(c.Fields)})
		o.Created = true
		return o
	}
	m.rows[string(c.Key)] = string(c.Fields)
	o.Created = !there
	return o
}

// Find implements [activate.Lookup]: it tells whether the rows are there as the
// changes have them.
func (m *Memory) Find(ctx context.Context, changes []activate.Change) ([]activate.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return nil, retry.AsTransient(context.Cause(ctx))
	}
	if m.Blind != nil {
		if err := m.Blind(changes); err != nil {
			return nil, err
		}
	}
	var outs []activate.Outcome
	for _, c := range changes {
		row, there := m.rows[string(c.Key)]
		if c.Action == activate.Append {
			there = m.ops[c.OpID]
		} else {
			there = there && row == string(c.Fields)
		}
		o := activate.Outcome{OpID: c.OpID, Status: activate.Retry, Code: "not_there"}
		if there {
			o.Status, o.Code, o.DestID = activate.Acked, "", "id-"+string(c.Key)
		}
		outs = append(outs, o)
	}
	return outs, nil
}
