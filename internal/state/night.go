package state

// nightTables are the second migration: what the loop needs that runs by night.
func nightTables(engine string) []string {
	const key = `project text NOT NULL, target text NOT NULL, sync text NOT NULL, target_fp text NOT NULL, `
	list := []string{
		// Of an account, whoever pushes to it: when its next call may be, when that was
		// said, and until when it asked for silence.
		`CREATE TABLE IF NOT EXISTS _elt.quota (
			account text PRIMARY KEY, next_at timestamp with time zone, booked_at timestamp with time zone, not_before timestamp with time zone)`,
		// Its calls, counted in slices of each length that it has a budget for, which rate names.
		`CREATE TABLE IF NOT EXISTS _elt.quota_slice (
			account text NOT NULL, rate text NOT NULL, slice_start timestamp with time zone NOT NULL, used bigint NOT NULL,
			PRIMARY KEY (account, rate, slice_start))`,
		`CREATE TABLE IF NOT EXISTS _elt.hold (` + key + `
			run_id text NOT NULL, reason text NOT NULL, plan_hash text NOT NULL, detail text, held_at timestamp with time zone NOT NULL,
			approved_at timestamp with time zone, approved_run text, released_at timestamp with time zone)`,
		`ALTER TABLE _elt.sync_run ADD COLUMN IF NOT EXISTS gone_planned bigint`,
		`ALTER TABLE _elt.sync_run ADD COLUMN IF NOT EXISTS gone_deleted bigint`,
		`ALTER TABLE _elt.sync_run ADD COLUMN IF NOT EXISTS gone_settled bigint`,
		`ALTER TABLE _elt.sync_run ADD COLUMN IF NOT EXISTS gone_rejected bigint`,
		`ALTER TABLE _elt.sync_run ADD COLUMN IF NOT EXISTS gone_unknown bigint`,
		`ALTER TABLE _elt.sync_run ADD COLUMN IF NOT EXISTS gone_deferred bigint`,
		// Whose run it is, what it took, and what it was asked for, so that it can be retried.
		`ALTER TABLE _elt.run ADD COLUMN IF NOT EXISTS owner text`,
		`ALTER TABLE _elt.run ADD COLUMN IF NOT EXISTS runbook text`,
		`ALTER TABLE _elt.run ADD COLUMN IF NOT EXISTS slot timestamp with time zone`,
		`ALTER TABLE _elt.run ADD COLUMN IF NOT EXISTS retry_of text`,
		`ALTER TABLE _elt.run ADD COLUMN IF NOT EXISTS spec text`,
		`ALTER TABLE _elt.slot ADD COLUMN IF NOT EXISTS spec text`,
		`ALTER TABLE _elt.attempt ADD COLUMN IF NOT EXISTS key_hash ` + uncompressed(engine),
		`ALTER TABLE _elt.attempt ADD COLUMN IF NOT EXISTS key_json text`,
		`ALTER TABLE _elt.attempt ADD COLUMN IF NOT EXISTS action text`,
		`ALTER TABLE _elt.attempt ADD COLUMN IF NOT EXISTS payload text`,
		// What a window of a backfill was done by, and what it published.
		`ALTER TABLE _elt.windows ADD COLUMN IF NOT EXISTS fingerprint text`,
		`ALTER TABLE _elt.windows ADD COLUMN IF NOT EXISTS row_count bigint`,
		// From when a model is due, where a backfill has built rows beyond it.
		`ALTER TABLE _elt.relation ADD COLUMN IF NOT EXISTS due_from timestamp with time zone`,
	}
	if engine == "postgres" {
		list = append(list, `CREATE INDEX IF NOT EXISTS attempt_key ON _elt.attempt (project, target, sync, target_fp, key_hash)`)
	}
	return list
}
