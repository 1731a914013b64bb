//go:build !duckdb_arrow

package duckdb

// Without the build tag there are no Arrow results: this line is the message that
// the compiler prints then.
var _ = build_with_GOFLAGS_tags_duckdb_arrow
