package activate

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// difference is the SELECT that fills a plan, and how many rows the model has
// in the same snapshot; read is -1 where every row is in the SELECT.
type difference struct {
	query string
	args  []any
	read  int64
	src   source
}

// sides says what a row of the model has to be looked up in besides the ledger.
type sides struct{ duplicates, intents, quarantine bool }

// diff compares the model with what was acknowledged. Where all statements of
// the transaction see one snapshot, rows that nothing happens to are counted
// but not in it, and what is empty is not joined. Rows that are not sent have
// NULL for what they do not need.
func (p *Plan) diff(ctx context.Context, tx *warehouse.Tx, upgraded, oneSnapshot bool) (difference, error) {
	src, err := p.source(ctx, tx)
	if err != nil {
		return difference{}, err
	}
	return p.compare(ctx, tx, src, upgraded, oneSnapshot)
}

// compare is diff of the rows of src.
func (p *Plan) compare(ctx context.Context, tx *warehouse.Tx, src source, upgraded, oneSnapshot bool) (difference, error) {
	out := difference{args: p.id(p.sync.mapping(), p.opSalt()), read: -1, src: src}
	look, where := sides{true, true, true}, ``
	if oneSnapshot {
		var err error
		if out.read, look, err = p.look(ctx, tx, src); err != nil {
			return difference{}, err
		}
		if !upgraded {
			where = ` WHERE class <> 'unchanged' OR q_attempts IS NOT NULL`
		}
	}
	d := tx.Dialect()
	key, payload, err := p.objects(d, src)
	if err != nil {
		return difference{}, err
	}
	same := `l.acked_hash = h.payload_hash`
	switch {
	case p.sync.once():
		same = `true`
	case upgraded:
		same = `l.stable_hash = ` + stableHash(payload)
	}
	out.query = `WITH src AS (` + src.query + `),
	hashed AS (SELECT *, ` + src.keyHash(d) + ` AS key_hash,
		` + d.RowHash(src.fieldNames()) + ` || '.' || $5 AS payload_hash FROM src),
	` + look.classed(same) + `,
	made AS (` + p.picked(key, payload, upgraded) + ` FROM classed` + where + `),
	picked AS MATERIALIZED (SELECT class, op_id, key_hash, key_json, payload, payload_hash, ` + stableHash("payload") + ` AS stable_hash,
		dest_id, ownership, prev_op_id, prev_payload, prev_payload_hash, prev_stable_hash, q_first_at, q_attempts, prev_action, gone FROM made)
	SELECT CASE WHEN ` + sent + ` THEN row_number() OVER () END AS seq, * FROM picked`
	return out, nil
}

// sent selects the classes that go out.
const sent = `class IN ('add', 'change', 'unknown')`

// stableHash is an expression of the hash that outlives an upgrade of the engine,
// and NULL for NULL: that of the JSON that is sent. What it is the hash of is there
// anyway; and where an engine spells a value in another way, something else is sent.
func stableHash(payload string) string { return `md5(` + payload + `) || '.' || $5` }

// picked is the SELECT list of a plan without its numbers, which are given to
// what is left, since the engine numbers rows with one thread, and without the
// hash of its payloads, so that the engine makes each of them once.
func (p *Plan) picked(key, payload string, upgraded bool) string {
	kept := `NULL`
	if upgraded {
		kept = `payload_hash`
	}
	const none = `class IN ('unchanged')`
	return `SELECT class,
		CASE WHEN ` + sent + ` THEN md5($6 || key_hash ` + p.opPayload() + `) END AS op_id,
		CASE WHEN ` + none + ` AND q_attempts IS NULL THEN ` + strings.ReplaceAll(kept, "payload_hash", "key_hash") + ` ELSE key_hash END AS key_hash,
		CASE WHEN NOT ` + none + ` THEN ` + key + ` END AS key_json,
		CASE WHEN ` + sent + ` THEN ` + payload + ` END AS payload,
		CASE WHEN ` + none + ` THEN ` + kept + ` ELSE payload_hash END AS payload_hash,
		dest_id, ownership, prev_op_id, prev_payload, prev_payload_hash, prev_stable_hash, q_first_at, q_attempts, prev_action, false AS gone`
}

// objects are expressions of the JSON that a row is sent as: its key and its fields.
func (p *Plan) objects(d *warehouse.Dialect, src source) (key, payload string, err error) {
	if key, err = jsonObject(d.Name, src.members(src.keys, p.sync.DestKey())); err != nil {
		return "", "", err
	}
	payload, err = jsonObject(d.Name, src.members(src.fields, p.sync.theirs()))
	return key, payload, err
}

// keyHash is an expression of the hash of a row's key; NULL where the key is none.
// It is half of the digest: 128 bits are enough that no two keys meet, also where
// somebody looks for such a pair, and it is written and compared for every row.
func (s source) keyHash(d *warehouse.Dialect) string {
	return `CASE WHEN ` + s.nullKey() + ` THEN NULL ELSE left(` + d.StableHash(s.keys) + `, 32) END`
}

// classed are the CTEs that give each hashed row its class.
func (s sides) classed(same string) string {
	dup, dupJoin, dupCase := ``, ``, ``
	if s.duplicates {
		dup = `dup AS (SELECT key_hash FROM hashed WHERE key_hash IS NOT NULL GROUP BY key_hash HAVING count(*) > 1),
	`
		dupJoin, dupCase = ` LEFT JOIN dup ON dup.key_hash = h.key_hash`, `WHEN dup.key_hash IS NOT NULL THEN 'duplicate_key'`
	}
	prev, intentJoin, intentCase := `CAST(NULL AS text) AS prev_op_id, CAST(NULL AS text) AS prev_payload,
		CAST(NULL AS text) AS prev_payload_hash, CAST(NULL AS text) AS prev_stable_hash, CAST(NULL AS text) AS prev_action`, ``, ``
	if s.intents {
		prev = `i.op_id AS prev_op_id, i.payload AS prev_payload, i.payload_hash AS prev_payload_hash, i.stable_hash AS prev_stable_hash, i.action AS prev_action`
		intentJoin = ` LEFT JOIN (SELECT * FROM ` + state.Intents + ` WHERE ` + mine + ` AND state = 'UNKNOWN') AS i ON i.key_hash = h.key_hash`
		intentCase = `WHEN i.op_id IS NOT NULL THEN 'unknown'`
	}
	refused, quarantineJoin, quarantineCase := `CAST(NULL AS timestamp with time zone) AS q_first_at, CAST(NULL AS bigint) AS q_attempts`, ``, ``
	if s.quarantine {
		refused = `q.first_at AS q_first_at, q.attempts AS q_attempts`
		quarantineJoin = ` LEFT JOIN (SELECT * FROM ` + state.SyncQuarantine + ` WHERE ` + mine + `) AS q ON q.key_hash = h.key_hash`
		quarantineCase = `WHEN q.payload_hash = h.payload_hash THEN 'rejected'`
	}
	return dup + `classed AS (SELECT h.*, l.dest_id, l.ownership, ` + prev + `, ` + refused + `,
		CASE WHEN h.key_hash IS NULL THEN 'null_key' ` + dupCase + ` ` + quarantineCase + ` ` + intentCase + `
			WHEN l.key_hash IS NULL THEN 'add' WHEN ` + same + ` THEN 'unchanged' ELSE 'change' END AS class
		FROM hashed AS h LEFT JOIN (SELECT * FROM ` + state.Ledger + ` WHERE ` + mine + `) AS l ON l.key_hash = h.key_hash` +
		dupJoin + intentJoin + quarantineJoin + `)`
}

// look counts the model and finds out which sides are empty.
func (p *Plan) look(ctx context.Context, tx *warehouse.Tx, src source) (read int64, s sides, err error) {
	one := func(q string, args ...any) (n int64) {
		if err == nil {
			err = warehouse.Each(ctx, tx, q, func(r rows.Row) error {
				n = r.Int(0)
				return nil
			}, args...)
		}
		return n
	}
	read = one(`SELECT count(*) FROM ` + p.sync.Model.String())
	s.intents = one(`SELECT count(*) FROM `+state.Intents+` WHERE `+mine, p.id()...) > 0
	s.quarantine = one(`SELECT count(*) FROM `+state.SyncQuarantine+` WHERE `+mine, p.id()...) > 0
	s.duplicates = true
	if keys, exact := src.exactKeys(); exact {
		s.duplicates = one(`SELECT count(*) FROM (SELECT 1 AS one FROM (`+src.query+`) AS src GROUP BY `+keys+` HAVING count(*) > 1 LIMIT 1) AS dup`) > 0
	}
	return read, s, err
}

// exactKeys lists the keys; exact when they are equal just where their
// canonical texts are, so that grouping by them finds the same duplicates.
func (s source) exactKeys() (list string, exact bool) {
	names := make([]string, len(s.keys))
	for i, k := range s.keys {
		names[i] = k.Name
		switch strings.ToLower(k.Type) {
		case "bigint", "integer", "smallint", "tinyint", "hugeint", "ubigint", "uinteger", "usmallint", "utinyint",
			"boolean", "date", "uuid":
		case "varchar": // DuckDB's compares bytes; a type of Postgres may have a collation
		default:
			return "", false
		}
	}
	return strings.Join(names, ", "), true
}

// opPayload makes the payload a part of the op id of a key that is sent once: what
// was refused and has been mended since is another operation, which a destination
// that answers for an operation it knows would not even look at. What may have been
// done is sent again as it was, with the id that it had.
func (p *Plan) opPayload() string {
	if p.sync.once() {
		return `|| '|' || payload_hash`
	}
	return ``
}

// opSalt makes op ids: the same in every run for a key that is sent once, one per
// epoch otherwise, since the same payload may be right again after another one.
func (p *Plan) opSalt() string {
	base := Fingerprint(p.store.Project(), p.store.Target(), p.sync.Name, p.sync.TargetFP)
	if p.sync.once() {
		return base + "|"
	}
	return base + "|" + p.sync.RunID + "|" + strconv.FormatInt(p.epoch, 10) + "|"
}

// source is the model under fixed names: k0, k1, … and f0, f1, ….
type source struct {
	query  string
	keys   []warehouse.Column
	fields []warehouse.Column
}

func (p *Plan) source(ctx context.Context, tx *warehouse.Tx) (source, error) {
	cols, err := tx.Schema(ctx, p.sync.Model)
	if err != nil {
		return source{}, err
	}
	if len(cols) == 0 {
		return source{}, fmt.Errorf("model %s does not exist; build it first: elt run %s", p.sync.Model.Display(), p.sync.Model.Display())
	}
	types := map[string]string{}
	names := make([]string, len(cols))
	for i, c := range cols {
		types[c.Name], names[i] = c.Type, c.Name
	}
	var s source
	var list []string
	add := func(to []warehouse.Column, prefix, column string) ([]warehouse.Column, error) {
		typ, ok := types[column]
		if !ok {
			return nil, fmt.Errorf("model %s has no column %q; it has %s", p.sync.Model.Display(), column, strings.Join(names, ", "))
		}
		alias := prefix + strconv.Itoa(len(to))
		list = append(list, warehouse.Quote(column)+" AS "+alias)
		return append(to, warehouse.Column{Name: alias, Type: typ}), nil
	}
	for _, k := range p.sync.Key {
		if s.keys, err = add(s.keys, "k", k); err != nil {
			return source{}, err
		}
	}
	for _, f := range p.sync.Fields {
		if s.fields, err = add(s.fields, "f", f.Column); err != nil {
			return source{}, err
		}
	}
	s.query = `SELECT ` + strings.Join(list, ", ") + ` FROM ` + p.sync.Model.String()
	return s, nil
}

func (s source) fieldNames() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.Name
	}
	return names
}

func (s source) members(cols []warehouse.Column, names []string) []member {
	list := make([]member, len(cols))
	for i, c := range cols {
		list[i] = member{name: names[i], expr: c.Name, typ: c.Type}
	}
	return list
}

func (s source) nullKey() string {
	terms := make([]string, len(s.keys))
	for i, k := range s.keys {
		terms[i] = k.Name + ` IS NULL`
	}
	return strings.Join(terms, " OR ")
}
