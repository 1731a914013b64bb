package activate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// Guards stop a push that goes wrong. Those of source, deletes, changes and
// creates judge the plan before anything is sent, and hold the whole run until
// somebody approves it or a later plan is within them. The zero Guards stop nothing.
type Guards struct {
	// MaxRejectPercent stops sending once that share of at least 200 rows has
	// been rejected; the rest is deferred. 0: no guard.
	MaxRejectPercent float64
	// EmptySource holds deletes while the model has no row that can be sent.
	EmptySource bool
	MaxDelete   Guard
	MaxChange   Guard
	MaxCreate   Guard
}

// Guard is the most rows that a run may do one thing to.
type Guard struct {
	On      bool
	Share   bool    // Percent, not Rows, is the limit
	Percent float64 // of the rows that the sync has there; with none there, nothing trips
	Rows    int64
	Least   int64 // rows below which it does not trip: nobody asked for it
}

// DefaultGuards are those of a sync that says nothing of its own.
func DefaultGuards() Guards {
	const least = 50
	return Guards{
		MaxRejectPercent: 5, EmptySource: true,
		MaxDelete: Guard{On: true, Share: true, Percent: 5, Least: least},
		MaxChange: Guard{On: true, Share: true, Percent: 50, Least: least},
	}
}

// trips reports whether doing something to n of there rows is too much.
func (g Guard) trips(n, there int64) bool {
	switch {
	case !g.On || n < g.Least:
		return false
	case g.Share:
		return there > 0 && float64(n)*100 > g.Percent*float64(there)
	default:
		return n > g.Rows
	}
}

func (g Guard) String() string {
	if g.Share {
		return strconv.FormatFloat(g.Percent, 'f', -1, 64) + "%"
	}
	return strconv.FormatInt(g.Rows, 10)
}

// Tripped is a guard that a plan is not within.
type Tripped struct {
	Guard    string `json:"guard"`
	Observed int64  `json:"observed"`
	There    int64  `json:"there"` // rows that the sync has at the destination
	Limit    string `json:"limit,omitempty"`
}

// String says what tripped, what was seen and what was allowed.
func (t Tripped) String() string {
	if t.Guard == "source_empty" {
		return fmt.Sprintf("source_empty: the model has no row to send, and %d would be deleted there", t.Observed)
	}
	verb := map[string]string{"max_delete": "delete", "max_change": "change", "max_create": "create"}[t.Guard]
	of := ""
	if t.There > 0 {
		of = fmt.Sprintf(" of %d", t.There)
	}
	return fmt.Sprintf("%s: it would %s %d%s rows, the limit is %s", t.Guard, verb, t.Observed, of, t.Limit)
}

// Outline is a plan in numbers, as guards judge it and people approve it.
type Outline struct {
	Creates int64 `json:"creates"`
	Changes int64 `json:"changes"`
	Deletes int64 `json:"deletes"`
	Again   int64 `json:"again"` // rows whose last outcome is not known
	There   int64 `json:"there"` // rows that the sync has at the destination
	// Hash is that of every row that the plan sends, whatever their order; "" while
	// nobody has asked for it.
	Hash string `json:"-"`
}

// Sends is how many rows the plan sends.
func (o Outline) Sends() int64 { return o.Creates + o.Changes + o.Deletes + o.Again }

// add counts n rows of a class; known tells that the ledger has them.
func (o *Outline) add(class string, known bool, n int64) {
	switch {
	case class == classAdd:
		o.Creates += n
	case class == classRemove:
		o.Deletes += n
	case class == classChange, class == classUnknown && known:
		o.Changes += n
	case class == classUnknown:
		o.Again += n
	}
}

// Judge lists the guards that an outline is not within; sendable is how many rows
// of the model have a key of their own.
func (g Guards) Judge(o Outline, sendable int64) []Tripped {
	var list []Tripped
	if g.EmptySource && sendable == 0 && o.Deletes > 0 {
		list = append(list, Tripped{Guard: "source_empty", Observed: o.Deletes, There: o.There})
	}
	for _, c := range []struct {
		name  string
		guard Guard
		n     int64
	}{{"max_delete", g.MaxDelete, o.Deletes}, {"max_change", g.MaxChange, o.Changes}, {"max_create", g.MaxCreate, o.Creates}} {
		if c.guard.trips(c.n, o.There) {
			list = append(list, Tripped{Guard: c.name, Observed: c.n, There: o.There, Limit: c.guard.String()})
		}
	}
	return list
}

// ErrPlanChanged means that a plan is not the one that was approved.
var ErrPlanChanged = errors.New("the plan is not the one that was approved any more")

// Guard judges the plan before anything is sent. It reports whether the run is
// held, and then it has recorded that, with every row deferred; the plan may only
// be closed. approved is the hash of the one plan that guards let pass; "" is none.
func (p *Plan) Guard(ctx context.Context, approved string) (bool, Result, error) {
	held, err := p.guard(ctx, approved)
	if err != nil {
		return false, p.result, p.wrap(err)
	}
	return held, p.result, nil
}

func (p *Plan) guard(ctx context.Context, approved string) (bool, error) {
	if err := p.countThere(ctx, p.db, &p.outline); err != nil {
		return false, err
	}
	r := &p.result
	r.Held = p.sync.Guards.Judge(p.outline, r.Unchanged+r.Planned)
	if len(r.Held) == 0 && approved == "" {
		return false, p.release(ctx)
	}
	hash, err := p.hash(ctx, p.db, `SELECT * FROM `+p.table.String(), nil)
	switch {
	case err != nil:
		return false, err
	case approved != "" && hash != approved:
		return false, ErrPlanChanged
	case approved != "":
		r.Held = nil
		return false, p.approve(ctx)
	}
	p.outline.Hash = hash
	return true, p.hold(ctx)
}

// There is how many rows the sync has at the destination.
func (p *Plan) There(ctx context.Context) (int64, error) { return p.there(ctx, p.db) }

func (p *Plan) there(ctx context.Context, q warehouse.Querier) (n int64, err error) {
	err = warehouse.Each(ctx, q, `SELECT count(*) FROM `+state.Ledger+` WHERE `+mine, func(r rows.Row) error {
		n = r.Int(0)
		return nil
	}, p.id()...)
	return n, err
}

// countThere counts the rows that the sync has at the destination, where some guard
// may ask for it.
func (p *Plan) countThere(ctx context.Context, q warehouse.Querier, o *Outline) (err error) {
	if o.Sends() > 0 {
		o.There, err = p.there(ctx, q)
	}
	return err
}

// hash is that of all rows that a plan sends; query selects them with the columns
// of a plan. Of a row that goes out as it did before it has that payload, and the
// one of now, which is sent instead when the destination has forgotten the operation.
func (p *Plan) hash(ctx context.Context, q warehouse.Querier, query string, args []any) (string, error) {
	var parts []string
	sum := p.db.Dialect().Checksum([]string{"class", "key_hash", "sent_hash"})
	err := warehouse.Each(ctx, q, `SELECT class, `+sum+` FROM (SELECT class, key_hash, coalesce(stable_hash, payload_hash) ||
			CASE WHEN `+p.resent(p.sync.Replay)+` THEN ' ' || coalesce(prev_stable_hash, prev_payload_hash) ELSE '' END AS sent_hash
		FROM (`+query+`) AS d WHERE seq IS NOT NULL) AS sent GROUP BY class`, func(r rows.Row) error {
		parts = append(parts, r.String(0)+" "+r.String(1))
		return nil
	}, args...)
	slices.Sort(parts)
	return Fingerprint(append(parts, p.sync.Mode, p.sync.mapping())...), err
}

// unsettled selects the holds that nobody has approved and no plan has released.
const unsettled = mine + ` AND approved_at IS NULL AND released_at IS NULL`

// hold records that the run waits for leave, and that its rows wait with it.
func (p *Plan) hold(ctx context.Context) error {
	r := &p.result
	r.Deferred, r.Gone.Deferred = r.Planned-r.Rejected, r.Gone.Planned-r.Gone.Rejected
	if err := r.balance(); err != nil {
		return err
	}
	reasons := make([]string, len(r.Held))
	for i, t := range r.Held {
		reasons[i] = t.String()
	}
	detail, err := json.Marshal(p.outline)
	if err != nil {
		return err
	}
	return p.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if err := p.fence(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+state.Holds+` (project, target, sync, target_fp, run_id, reason, plan_hash, detail, held_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			p.id(p.sync.RunID, strings.Join(reasons, "; "), p.outline.Hash, string(detail), time.Now().UTC())...)
		if err != nil {
			return err
		}
		return p.record(ctx, tx, "held")
	})
}

// release ends the holds of a sync whose plan is within its guards.
func (p *Plan) release(ctx context.Context) error {
	var open int64
	err := warehouse.Each(ctx, p.db, `SELECT count(*) FROM `+state.Holds+` WHERE `+unsettled, func(r rows.Row) error {
		open = r.Int(0)
		return nil
	}, p.id()...)
	if err != nil || open == 0 {
		return err
	}
	return p.endHolds(ctx, `released_at = $5`, time.Now().UTC())
}

// approve notes who was let pass.
func (p *Plan) approve(ctx context.Context) error {
	return p.endHolds(ctx, `approved_at = $5, approved_run = $6`, time.Now().UTC(), p.sync.RunID)
}

func (p *Plan) endHolds(ctx context.Context, set string, args ...any) error {
	return p.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if err := p.fence(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE `+state.Holds+` SET `+set+` WHERE `+unsettled, p.id(args...)...)
		return err
	})
}
