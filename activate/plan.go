package activate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// Plan is the difference between a model and what its destination has
// acknowledged, kept in a table of the warehouse so that retries see one stable
// input. It holds the lease on its sync until Close, or the end of the context
// that it was made with.
type Plan struct {
	db      *warehouse.DB
	store   *state.Store
	sync    Sync
	table   warehouse.Table // what is to be sent
	out     warehouse.Table // what became of it
	epoch   int64
	read    int64 // rows of the model; -1: all of them are in the table
	adds    int64 // the highest number of a row that is to be sent, of those that are no deletes
	last    int64 // the highest number of a row that is to be sent
	start   time.Time
	result  Result
	outline Outline
	held    func()
	lease   context.Context // ends when the lock is lost
	unknown bool            // the outcome of an earlier operation of a row is not known
	pushed  bool
	ids     bool   // the destination tells ids of rows
	evens   []span // rows that were settled with one outcome for each page
	few     int64  // rows in a page; 0: as many as the limits of the destination suggest
	growth  int64  // how much bigger pages have become, since they are sent fast; 0: not yet
	sends   int64  // rows that are to be sent
	bytes   int64  // of what is to be sent of them
	// definite: a refusal also settles what an earlier try with the same
	// operation may have done, because the destination knows the operation.
	definite bool
}

// The classes of a planned row.
const (
	classNullKey      = "null_key"
	classDuplicateKey = "duplicate_key"
	classUnchanged    = "unchanged"
	classRejected     = "rejected" // before, with the same payload: not sent again
	classUnknown      = "unknown"  // an earlier outcome is not known: sent whatever its hash
	classAdd          = "add"
	classChange       = "change"
	classRemove       = "remove" // gone from the model, to be deleted
	classKept         = "kept"   // gone from the model, but its delete was refused: not sent again
)

// mine selects the rows of one sync on one destination; its parameters are
// those of id.
const mine = `project = $1 AND target = $2 AND sync = $3 AND target_fp = $4`

func (p *Plan) id(more ...any) []any {
	return append([]any{p.store.Project(), p.store.Target(), p.sync.Name, p.sync.TargetFP}, more...)
}

// NewPlan takes the lease on a sync and plans it: one set-based statement over
// one snapshot of the model, the ledger, the open intents and the quarantine.
// Intents that an earlier run left behind prepared become unknown.
func NewPlan(ctx context.Context, db *warehouse.DB, st *state.Store, sync Sync) (*Plan, error) {
	if err := sync.validate(); err != nil {
		return nil, err
	}
	p := newPlan(db, st, sync)
	held, release, err := db.Lock(ctx, lockName(p.table.Name))
	if err != nil {
		return nil, fmt.Errorf("sync %s: %w", sync.Name, err)
	}
	p.held, p.lease = release, held
	if err := p.make(held); err != nil {
		err = p.blame(ctx, err)
		release()
		return nil, fmt.Errorf("plan sync %s: %w", sync.Name, err)
	}
	return p, nil
}

// make takes the sync over and then plans it, so that no run before it can settle
// anything that the plan does not see.
func (p *Plan) make(ctx context.Context) error {
	if err := p.db.Update(ctx, p.takeOver); err != nil {
		return err
	}
	if scratch := p.db.Dialect().Scratch; scratch != "" {
		p.table.Schema, p.out.Schema = scratch, scratch
		// A run that was taken over may still write its own.
		suffix := "_" + strconv.FormatInt(p.epoch, 10)
		p.table.Name, p.out.Name = p.table.Name+suffix, p.out.Name+suffix
	}
	if err := p.aside(ctx, p.fill); err != nil {
		return err
	}
	if err := p.db.Update(ctx, p.adjust); err != nil {
		return err
	}
	return p.classify(ctx)
}

// inScratch reports whether the tables of the plan lie in memory. They need not
// outlive the process: what has to is in the intents.
func (p *Plan) inScratch() bool { return p.table.Schema != warehouse.StateSchema }

// aside runs fn in a transaction that writes the tables of the plan and nothing
// else. Where they lie beside the state, whoever has been taken over is kept out;
// in memory they are the run's own.
func (p *Plan) aside(ctx context.Context, fn func(ctx context.Context, tx *warehouse.Tx) error) error {
	if p.inScratch() {
		return p.db.Aside(ctx, p.table, fn)
	}
	return p.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if err := p.fence(ctx, tx); err != nil {
			return err
		}
		return fn(ctx, tx)
	})
}

func newPlan(db *warehouse.DB, st *state.Store, sync Sync) *Plan {
	name := Fingerprint(st.Project(), st.Target(), sync.Name, sync.TargetFP)
	return &Plan{
		db: db, store: st, sync: sync.sorted(), start: time.Now(),
		table: warehouse.Table{Schema: warehouse.StateSchema, Name: planPrefix + name},
		out:   warehouse.Table{Schema: warehouse.StateSchema, Name: outPrefix + name},
	}
}

// Close drops the plan's tables and gives the lease back. Push may not be
// called afterwards.
func (p *Plan) Close(ctx context.Context) error {
	if p.held == nil {
		return nil
	}
	defer func() { p.held(); p.held = nil }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	err := p.aside(ctx, p.dropTables)
	if errors.Is(err, ErrFenced) {
		return nil // the tables belong to the run that took over
	}
	if err != nil {
		return fmt.Errorf("sync %s: drop its plan: %w", p.sync.Name, err)
	}
	return nil
}

func (p *Plan) dropTables(ctx context.Context, tx *warehouse.Tx) error {
	for _, t := range []warehouse.Table{p.table, p.out} {
		if _, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+t.String()); err != nil {
			return err
		}
	}
	return nil
}

// takeOver begins a new epoch: whoever had the lease before can settle nothing
// more, and what it left prepared is unknown now. Of several intents for one
// key the latest stands for all.
func (p *Plan) takeOver(ctx context.Context, tx *warehouse.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO `+state.SyncTargets+` (project, target, sync, target_fp, lease_epoch)
		VALUES ($1, $2, $3, $4, 0) ON CONFLICT (project, target, sync, target_fp) DO NOTHING`, p.id()...)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE `+state.SyncTargets+` SET lease_epoch = lease_epoch + 1, lease_owner = $5 WHERE `+mine,
		p.id(p.sync.RunID)...)
	if err != nil {
		return err
	}
	err = warehouse.Each(ctx, tx, `SELECT lease_epoch FROM `+state.SyncTargets+` WHERE `+mine, func(r rows.Row) error {
		p.epoch = r.Int(0)
		return nil
	}, p.id()...)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE `+state.Intents+` SET state = 'UNKNOWN' WHERE `+mine+` AND state = 'PREPARED'`, p.id()...)
	if err != nil {
		return err
	}
	const later = `EXISTS (SELECT 1 FROM ` + state.Intents + ` AS n
		WHERE n.project = $1 AND n.target = $2 AND n.sync = $3 AND n.target_fp = $4
		AND n.key_hash = intent.key_hash AND n.lease_epoch > intent.lease_epoch`
	return p.run(ctx, tx, []statement{
		{`DELETE FROM ` + state.Intents + ` WHERE ` + mine + ` AND ` + later + ` AND n.payload_hash = intent.payload_hash)`, p.id()},
		p.supersede(later+`)`, p.id()...),
	})
}

// fence fails when another run has begun a later epoch. The update makes the
// two transactions conflict, whichever commits first.
func (p *Plan) fence(ctx context.Context, tx *warehouse.Tx) error {
	n, err := tx.Exec(ctx, `UPDATE `+state.SyncTargets+` SET lease_until = $6 WHERE `+mine+` AND lease_epoch = $5`,
		p.id(p.epoch, time.Now().UTC())...)
	if err == nil && n != 1 {
		err = ErrFenced
	}
	return err
}

// fill makes the tables of the plan.
func (p *Plan) fill(ctx context.Context, tx *warehouse.Tx) error {
	if err := p.dropTables(ctx, tx); err != nil {
		return err
	}
	for _, q := range p.tables(tx.Dialect().Name) {
		if _, err := tx.Exec(ctx, q); err != nil {
			return err
		}
	}
	_, upgraded, err := p.engine(ctx, tx)
	if err != nil {
		return err
	}
	d, err := p.diff(ctx, tx, upgraded, tx.Dialect().OneSnapshot)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO `+p.table.String()+` `+d.query, d.args...); err != nil {
		return err
	}
	p.read = d.read
	if err := p.remove(ctx, tx); err != nil {
		return err
	}
	return analyze(ctx, tx, p.table)
}

// adjust writes what a plan has found out of the state.
func (p *Plan) adjust(ctx context.Context, tx *warehouse.Tx) error {
	if err := p.fence(ctx, tx); err != nil {
		return err
	}
	engine, upgraded, err := p.engine(ctx, tx)
	if err != nil {
		return err
	}
	// Of a key that is sent once nobody compares what its row has become: hashing
	// that would say it had been sent.
	if upgraded && !p.sync.once() {
		_, err = tx.Exec(ctx, `UPDATE `+state.Ledger+` SET acked_hash = p.payload_hash FROM `+p.table.String()+` AS p
			WHERE `+mine+` AND p.class = 'unchanged' AND p.key_hash = ledger.key_hash`, p.id()...)
		if err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `DELETE FROM `+state.SyncQuarantine+` WHERE `+mine+` AND key_hash IN
		(SELECT p.key_hash FROM `+p.table.String()+` AS p WHERE p.class = 'unchanged' AND p.q_attempts IS NOT NULL)`, p.id()...)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE `+state.SyncTargets+` SET engine = $5, mapping_hash = $6 WHERE `+mine,
		p.id(engine, p.sync.mapping())...)
	return err
}

// analyze tells Postgres what is in a table of this plan, which was empty a
// moment ago. Without that it takes it for a few rows and compares each with each.
// Tables that others work with are left to their own vacuum, whose lock would be
// in the way.
func analyze(ctx context.Context, tx *warehouse.Tx, t warehouse.Table) error {
	if tx.Dialect().Name != "postgres" {
		return nil
	}
	_, err := tx.Exec(ctx, `ANALYZE `+t.String())
	return err
}

// payloadHashes names how payloads are hashed; it changes with Dialect.RowHash.
const payloadHashes = "md5"

// engine is what the payload hashes depend on besides the rows: the engine's
// version, the time zone in which it writes timestamps, and how it hashes. It
// reports whether the hashes in the ledger are of another one, so that the stable
// hashes have to be compared.
func (p *Plan) engine(ctx context.Context, q warehouse.Querier) (now string, upgraded bool, err error) {
	var before string
	err = warehouse.Each(ctx, q, `SELECT version() || ' ' || current_setting('TimeZone')`, func(r rows.Row) error {
		now = strings.Clone(r.String(0)) + " " + payloadHashes
		return nil
	})
	if err != nil {
		return "", false, err
	}
	err = warehouse.Each(ctx, q, `SELECT engine FROM `+state.SyncTargets+` WHERE `+mine, func(r rows.Row) error {
		before = r.String(0)
		return nil
	}, p.id()...)
	return now, before != "" && before != now, err
}

// tables is the DDL of a plan: what to send, numbered, and what became of it.
func (p *Plan) tables(engine string) []string {
	ddl := []string{
		`CREATE TABLE ` + p.table.String() + ` (
			seq bigint, class text, op_id text, key_hash text, key_json text,
			payload text, payload_hash text, stable_hash text, dest_id text, ownership text,
			prev_op_id text, prev_payload text, prev_payload_hash text, prev_stable_hash text,
			q_first_at timestamp with time zone, q_attempts bigint, prev_action text, gone boolean)`,
		`CREATE TABLE ` + p.out.String() + ` (
			seq bigint, page bigint, key_hash text, class text, gone boolean, status text, resent boolean, doubt boolean, created boolean, local boolean,
			dest_id text, code text, message text, attempts bigint)`,
	}
	if engine == "postgres" { // DuckDB finds ranges of seq by its zone maps
		ddl = append(ddl, `CREATE INDEX ON `+p.table.String()+` (seq)`, `CREATE INDEX ON `+p.out.String()+` (page, key_hash)`)
	}
	return ddl
}

// classes counts the rows of a plan by their class, by whether they are in the
// model, and by whether the ledger has them.
const (
	classes = `class, count(*), coalesce(gone, false), ownership IS NOT NULL`
	byClass = `class, coalesce(gone, false), ownership IS NOT NULL`
)

// classify counts the plan and keeps samples of what is invalid.
func (p *Plan) classify(ctx context.Context) error {
	r := &p.result
	err := warehouse.Each(ctx, p.db, `SELECT `+classes+`, coalesce(max(seq), 0),
		count(payload), CAST(coalesce(sum(length(payload)), 0) AS bigint) FROM `+p.table.String()+` AS d GROUP BY `+byClass, func(row rows.Row) error {
		r.count(row.String(0), row.Int(1), row.Bool(2))
		p.outline.add(row.String(0), row.Bool(3), row.Int(1))
		p.last = max(p.last, row.Int(4))
		p.sends, p.bytes = p.sends+row.Int(5), p.bytes+row.Int(6)
		p.unknown = p.unknown || row.String(0) == classUnknown
		if row.String(0) != classRemove {
			p.adds = max(p.adds, row.Int(4))
		}
		return nil
	})
	if err == nil {
		err = r.remainder(p.read)
	}
	if err != nil {
		return err
	}
	return p.sample(ctx, `SELECT key_json, class, '' FROM `+p.table.String()+
		` WHERE class IN ('null_key', 'duplicate_key') ORDER BY class, key_json LIMIT 5`)
}

// count adds n rows of a class; gone tells that they are not in the model.
func (r *Result) count(class string, n int64, gone bool) {
	if gone {
		r.Gone.Planned += n
		if class == classKept {
			r.Gone.Rejected += n
		}
		return
	}
	r.Read += n
	switch class {
	case classNullKey, classDuplicateKey:
		r.Invalid += n
	case classUnchanged:
		r.Unchanged += n
	case classRejected:
		r.Planned += n
		r.Rejected += n
	default:
		r.Planned += n
	}
}

// remainder counts the rows of the model that no class was counted for: nothing
// happens to them. read is -1 where all have been counted. Counting them by
// themselves would take the join a second time: the outer joins of the model lose
// no row of it, and one that they double is told here.
func (r *Result) remainder(read int64) error {
	if read < 0 {
		return nil
	}
	if read < r.Read {
		return fmt.Errorf("%w: the model has %d rows, but the plan %d; a key is twice in the ledger", ErrAccounting, read, r.Read)
	}
	r.count(classUnchanged, read-r.Read, false)
	return nil
}

func (p *Plan) sample(ctx context.Context, q string, args ...any) error {
	return warehouse.Each(ctx, p.db, q, func(r rows.Row) error {
		p.result.Samples = append(p.result.Samples, Sample{Key: r.String(0), Reason: strings.TrimSpace(r.String(1)), Payload: r.String(2)})
		return nil
	}, args...)
}
