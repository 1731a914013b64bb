package state

// Tables that package activate works on in set-based statements. The columns
// are in activateTables.
const (
	SyncTargets    = `_elt.sync_target`
	Ledger         = `_elt.ledger`
	Intents        = `_elt.intent`
	Attempts       = `_elt.attempt`
	SyncQuarantine = `_elt.sync_quarantine`
	SyncRuns       = `_elt.sync_run`
	Holds          = `_elt.hold`
)

// migrations are additive: a table, a column that may be NULL, a view. The
// position is the version; what has been released never changes.
//
// There are keys only on tables that stay small: on DuckDB an index of many rows
// costs more than the scans that it saves. On Postgres the tables that are
// looked up by key get an index.
func migrations(engine string) [][]string {
	var first []string
	first = append(first, runTables()...)
	first = append(first, loadTables()...)
	first = append(first, relationTables()...)
	first = append(first, activateTables(engine)...)
	if engine == "postgres" {
		first = append(first,
			`CREATE INDEX IF NOT EXISTS ledger_key ON _elt.ledger (project, target, sync, target_fp, key_hash)`,
			`CREATE INDEX IF NOT EXISTS intent_key ON _elt.intent (project, target, sync, target_fp, key_hash)`)
	}
	return [][]string{first, nightTables(engine)}
}

// metaTable holds the numbers of the migrations that were applied.
func metaTable() []string {
	return []string{
		`CREATE SCHEMA IF NOT EXISTS _elt`,
		`CREATE TABLE IF NOT EXISTS _elt.meta (version bigint PRIMARY KEY, migrated_at timestamp with time zone NOT NULL)`,
	}
}

func runTables() []string {
	return []string{
		`CREATE SCHEMA IF NOT EXISTS elt`,
		`CREATE TABLE IF NOT EXISTS _elt.run (
			project text NOT NULL, target text NOT NULL, id text NOT NULL,
			job text, command text, trigger text, status text NOT NULL, exit_code bigint,
			started_at timestamp with time zone NOT NULL, ended_at timestamp with time zone,
			as_of timestamp with time zone, pid bigint, host text, session text, error text, log text,
			lease_epoch bigint,
			PRIMARY KEY (project, target, id))`,
		`CREATE TABLE IF NOT EXISTS _elt.step (
			project text NOT NULL, target text NOT NULL, run_id text NOT NULL, name text NOT NULL,
			kind text, status text NOT NULL, started_at timestamp with time zone, ended_at timestamp with time zone,
			result text, error text, lease_epoch bigint,
			PRIMARY KEY (project, target, run_id, name))`,
		`CREATE TABLE IF NOT EXISTS _elt.windows (
			project text NOT NULL, target text NOT NULL, backfill text NOT NULL, step text NOT NULL,
			window_start timestamp with time zone NOT NULL, window_end timestamp with time zone NOT NULL,
			status text NOT NULL, run_id text, ended_at timestamp with time zone, error text, lease_epoch bigint,
			PRIMARY KEY (project, target, backfill, step, window_start, window_end))`,
		`CREATE TABLE IF NOT EXISTS _elt.slot (
			project text NOT NULL, target text NOT NULL, job text NOT NULL, slot timestamp with time zone NOT NULL,
			status text NOT NULL, run_id text, reason text, recorded_at timestamp with time zone NOT NULL, lease_epoch bigint,
			PRIMARY KEY (project, target, job, slot))`,
		`CREATE TABLE IF NOT EXISTS _elt.alert (
			project text NOT NULL, target text NOT NULL, subject text NOT NULL,
			state text NOT NULL, since timestamp with time zone NOT NULL, told_at timestamp with time zone, detail text,
			PRIMARY KEY (project, target, subject))`,
	}
}

func loadTables() []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS _elt.load (
			project text NOT NULL, target text NOT NULL, id text NOT NULL, run_id text,
			stream text NOT NULL, table_name text, disposition text, cursor_from text, cursor_to text,
			window_start timestamp with time zone, window_end timestamp with time zone,
			rows_read bigint, staged bigint, quarantined bigint, discarded bigint,
			published bigint, superseded bigint, already_present bigint, deleted bigint,
			checksum text, high_water timestamp with time zone, status text NOT NULL,
			recorded_at timestamp with time zone NOT NULL, lease_epoch bigint,
			PRIMARY KEY (project, target, id))`,
		`CREATE TABLE IF NOT EXISTS _elt.cursor (
			project text NOT NULL, target text NOT NULL, stream text NOT NULL,
			cursor text NOT NULL, load_id text, saved_at timestamp with time zone NOT NULL, lease_epoch bigint,
			PRIMARY KEY (project, target, stream))`,
		`CREATE TABLE IF NOT EXISTS _elt.quarantine (
			project text NOT NULL, target text NOT NULL, stream text NOT NULL, load_id text, run_id text,
			locator text, reason text, payload text, recorded_at timestamp with time zone NOT NULL)`,
	}
}

func relationTables() []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS _elt.finding (
			project text NOT NULL, target text NOT NULL, run_id text, check_name text NOT NULL, relation text NOT NULL,
			severity text NOT NULL, ok boolean NOT NULL, observed text, expected text, failed bigint, samples text,
			recorded_at timestamp with time zone NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS _elt.relation (
			project text NOT NULL, target text NOT NULL, relation text NOT NULL,
			columns text, columns_at timestamp with time zone,
			last_updated_at timestamp with time zone, high_water timestamp with time zone, row_count bigint, status text,
			PRIMARY KEY (project, target, relation))`,
		`CREATE TABLE IF NOT EXISTS _elt.build (
			project text NOT NULL, target text NOT NULL, model text NOT NULL, run_id text, fingerprint text,
			built_at timestamp with time zone NOT NULL, row_count bigint, high_water timestamp with time zone, lease_epoch bigint)`,
		`CREATE TABLE IF NOT EXISTS _elt.volume (
			project text NOT NULL, target text NOT NULL, relation text NOT NULL,
			slot timestamp with time zone NOT NULL, row_count bigint NOT NULL, recorded_at timestamp with time zone NOT NULL,
			PRIMARY KEY (project, target, relation, slot))`,
		`CREATE OR REPLACE VIEW elt.freshness AS
			SELECT project, target, relation AS "table", last_updated_at, status FROM _elt.relation
			WHERE last_updated_at IS NOT NULL`,
	}
}

// activateTables: rows are keyed by project, target, sync and the fingerprint of
// the destination's account and object, so that a sync pointed at another
// account never uses the ledger of the first. An intent is there while its row is
// on the way: nothing of it is worth a compression.
func activateTables(engine string) []string {
	raw := uncompressed(engine)
	const key = `project text NOT NULL, target text NOT NULL, sync text NOT NULL, target_fp text NOT NULL, `
	return []string{
		`CREATE TABLE IF NOT EXISTS _elt.sync_target (` + key + `
			mapping_hash text, engine text, lease_owner text, lease_epoch bigint NOT NULL, lease_until timestamp with time zone,
			hold_reason text, PRIMARY KEY (project, target, sync, target_fp))`,
		`CREATE TABLE IF NOT EXISTS _elt.ledger (` + key + `
			key_hash text NOT NULL, key_json text NOT NULL, dest_id text, acked_hash text NOT NULL, stable_hash text,
			acked_at timestamp with time zone NOT NULL, acked_run text, ownership text NOT NULL, status text NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS _elt.intent (` + key + `
			op_id ` + raw + ` NOT NULL, run_id text NOT NULL, lease_epoch bigint NOT NULL,
			key_hash ` + raw + ` NOT NULL, key_json ` + raw + ` NOT NULL, action text NOT NULL, payload ` + raw + ` NOT NULL,
			payload_hash ` + raw + ` NOT NULL, stable_hash ` + raw + `, state text NOT NULL,
			prepared_at timestamp with time zone NOT NULL, settled_at timestamp with time zone)`,
		`CREATE TABLE IF NOT EXISTS _elt.attempt (` + key + `
			op_id ` + raw + ` NOT NULL, run_id text NOT NULL, attempts bigint NOT NULL, status text NOT NULL,
			code text, message text, recorded_at timestamp with time zone NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS _elt.sync_quarantine (` + key + `
			key_hash text NOT NULL, key_json text NOT NULL, payload text, payload_hash text NOT NULL,
			run_id text, code text, message text, first_at timestamp with time zone NOT NULL, attempts bigint NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS _elt.sync_run (` + key + `
			run_id text NOT NULL, lease_epoch bigint NOT NULL, rows_read bigint, invalid bigint, unchanged bigint,
			planned bigint, acked bigint, created bigint, rejected bigint, unknown bigint, deferred bigint,
			started_at timestamp with time zone, ended_at timestamp with time zone, status text NOT NULL)`,
	}
}

// uncompressed is the type of a text that DuckDB need not try to compress, a hash:
// looking for a way costs it more than writing, and hardly one is found.
func uncompressed(engine string) string {
	if engine == "duckdb" {
		return "text USING COMPRESSION uncompressed"
	}
	return "text"
}
