package activate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// Explanation is all that is known of one key of a sync.
type Explanation struct {
	Key   string        // as a JSON object under the destination's names
	Class string        // what a plan would do about it now; "gone" when the model does not have it
	Rows  []string      // of the model, as they would be sent, as JSON objects; several: none is sent
	Acked *Acknowledged // nil: nothing is acknowledged, or it was deleted there
	Open  []Open        // what may have happened, and what became of it nobody knows
	Block *Refusal      // nil: nothing is refused
	Sent  []Attempt
}

// Acknowledged is what the ledger says of a key.
type Acknowledged struct {
	At        time.Time `json:"at"`
	RunID     string    `json:"run"`
	DestID    string    `json:"dest_id,omitempty"`
	Ownership string    `json:"ownership"` // created or adopted
}

// Open is an operation whose outcome is unknown.
type Open struct {
	At      time.Time `json:"at"`
	RunID   string    `json:"run"`
	Action  string    `json:"action"`
	Payload string    `json:"-"`
}

// Refusal is why a payload is not sent again.
type Refusal struct {
	Since    time.Time `json:"since"`
	RunID    string    `json:"run"`
	Code     string    `json:"code,omitempty"`
	Message  string    `json:"message,omitempty"`
	Attempts int64     `json:"attempts"`
}

// Attempt is one operation that was sent, with its outcome.
type Attempt struct {
	At      time.Time `json:"at"`
	RunID   string    `json:"run"`
	Action  string    `json:"action,omitempty"`
	Status  string    `json:"status"`
	Calls   int64     `json:"calls"`
	Code    string    `json:"code,omitempty"`
	Message string    `json:"message,omitempty"`
	Payload string    `json:"-"` // as a JSON object; "" for a delete
}

// ErrNoSuchKey means that a text is no value of a key column.
var ErrNoSuchKey = errors.New("no value of the key")

// Explain tells what is known of the key whose values are given as texts in the order
// of sync.Key, with the last limit operations that were sent for it. Nothing is written.
func Explain(ctx context.Context, db *warehouse.DB, st *state.Store, sync Sync, values []string, limit int) (Explanation, error) {
	if err := sync.validate(); err != nil {
		return Explanation{}, err
	}
	var x Explanation
	err := db.View(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		p := newPlan(db, st, sync)
		e := explaining{Plan: p, tx: tx, values: p.arranged(sync.Key, values), x: &x}
		for _, step := range []func(context.Context) error{e.identify, e.classify, e.current, e.ledger, e.refusal} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return e.sent(ctx, limit)
	})
	if err != nil {
		return x, fmt.Errorf("explain a key of sync %s: %w", sync.Name, err)
	}
	return x, nil
}

type explaining struct {
	*Plan
	tx     *warehouse.Tx
	values []string
	hash   string
	x      *Explanation
}

// arranged are the values of key columns in the order of the plan.
func (p *Plan) arranged(columns, values []string) []string {
	list := make([]string, len(values))
	for i, column := range p.sync.Key {
		list[i] = values[slices.Index(columns, column)]
	}
	return list
}

// identify finds the hash of the key, by the types that the model gives its columns.
func (e *explaining) identify(ctx context.Context) error {
	src, err := e.source(ctx, e.tx)
	if err != nil {
		return err
	}
	list := make([]string, len(src.keys))
	args := make([]any, len(src.keys))
	for i, k := range src.keys {
		list[i] = fmt.Sprintf("CAST(CAST($%d AS text) AS %s) AS %s", i+1, k.Type, k.Name)
		args[i] = e.values[i]
	}
	d := e.tx.Dialect()
	key, _, err := e.objects(d, src)
	if err != nil {
		return err
	}
	err = warehouse.Each(ctx, e.tx, `SELECT `+src.keyHash(d)+`, `+key+` FROM (SELECT `+strings.Join(list, ", ")+`) AS src`, func(r rows.Row) error {
		e.hash, e.x.Key = strings.Clone(r.String(0)), strings.Clone(r.String(1))
		return nil
	}, args...)
	if class, _ := retry.Of(err); err != nil && ctx.Err() == nil && class != retry.Transient { // the engines word it as they like
		var types []string
		for i, k := range src.keys {
			types = append(types, e.sync.Key[i]+" "+strings.ToLower(k.Type))
		}
		return fmt.Errorf("%w: %q, expected %s", ErrNoSuchKey, strings.Join(e.values, ","), strings.Join(types, ", "))
	}
	return err
}

// one is the model's rows of this key alone; its parameters begin at first.
func (e *explaining) one(ctx context.Context, first int) (source, []any, error) {
	src, err := e.source(ctx, e.tx)
	if err != nil {
		return src, nil, err
	}
	terms := make([]string, len(src.keys))
	args := make([]any, len(src.keys))
	for i, k := range src.keys {
		terms[i] = fmt.Sprintf("%s = CAST(CAST($%d AS text) AS %s)", k.Name, first+i, k.Type)
		args[i] = e.values[i]
	}
	src.query = `SELECT * FROM (` + src.query + `) AS every WHERE ` + strings.Join(terms, " AND ")
	return src, args, nil
}

// classify says what a plan would do about the key.
func (e *explaining) classify(ctx context.Context) error {
	_, upgraded, err := e.engine(ctx, e.tx)
	if err != nil {
		return err
	}
	const common = 6 // parameters of a difference
	src, args, err := e.one(ctx, common+1)
	if err != nil {
		return err
	}
	d, err := e.compare(ctx, e.tx, src, upgraded, false)
	if err != nil {
		return err
	}
	e.x.Class = "gone"
	return warehouse.Each(ctx, e.tx, `SELECT class FROM (`+d.query+`) AS d`, func(r rows.Row) error {
		e.x.Class = strings.Clone(r.String(0))
		return nil
	}, append(d.args, args...)...)
}

// current lists the model's rows of the key.
func (e *explaining) current(ctx context.Context) error {
	src, args, err := e.one(ctx, 1)
	if err != nil {
		return err
	}
	_, payload, err := e.objects(e.tx.Dialect(), src)
	if err != nil {
		return err
	}
	return warehouse.Each(ctx, e.tx, `SELECT `+payload+` AS payload FROM (`+src.query+`) AS src ORDER BY payload LIMIT 10`, func(r rows.Row) error {
		e.x.Rows = append(e.x.Rows, strings.Clone(r.String(0)))
		return nil
	}, args...)
}

func (e *explaining) ledger(ctx context.Context) error {
	err := warehouse.Each(ctx, e.tx, `SELECT acked_at, acked_run, dest_id, ownership FROM `+state.Ledger+` WHERE `+mine+` AND key_hash = $5`, func(r rows.Row) error {
		e.x.Acked = &Acknowledged{At: r.Time(0), RunID: strings.Clone(r.String(1)), DestID: strings.Clone(r.String(2)), Ownership: strings.Clone(r.String(3))}
		return nil
	}, e.id(e.hash)...)
	if err != nil {
		return err
	}
	return warehouse.Each(ctx, e.tx, `SELECT prepared_at, run_id, action, payload FROM `+state.Intents+` WHERE `+mine+` AND key_hash = $5
		ORDER BY lease_epoch DESC`, func(r rows.Row) error {
		e.x.Open = append(e.x.Open, Open{At: r.Time(0), RunID: strings.Clone(r.String(1)), Action: strings.Clone(r.String(2)), Payload: strings.Clone(r.String(3))})
		return nil
	}, e.id(e.hash)...)
}

func (e *explaining) refusal(ctx context.Context) error {
	return warehouse.Each(ctx, e.tx, `SELECT first_at, run_id, code, message, attempts FROM `+state.SyncQuarantine+` WHERE `+mine+` AND key_hash = $5`, func(r rows.Row) error {
		e.x.Block = &Refusal{Since: r.Time(0), RunID: strings.Clone(r.String(1)), Code: strings.Clone(r.String(2)),
			Message: strings.Clone(r.String(3)), Attempts: r.Int(4)}
		return nil
	}, e.id(e.hash)...)
}

func (e *explaining) sent(ctx context.Context, limit int) error {
	return warehouse.Each(ctx, e.tx, `SELECT recorded_at, run_id, action, status, attempts, code, message, payload FROM `+state.Attempts+`
		WHERE `+mine+` AND key_hash = $5 ORDER BY recorded_at DESC LIMIT `+fmt.Sprint(limit), func(r rows.Row) error {
		e.x.Sent = append(e.x.Sent, Attempt{At: r.Time(0), RunID: strings.Clone(r.String(1)), Action: strings.Clone(r.String(2)),
			Status: strings.Clone(r.String(3)), Calls: r.Int(4), Code: strings.Clone(r.String(5)), Message: strings.Clone(r.String(6)),
			Payload: strings.Clone(r.String(7))})
		return nil
	}, e.id(e.hash)...)
}
