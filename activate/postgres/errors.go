package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/activate"
	"elt/internal/pgserver"
	"elt/internal/retry"
)

// The codes of rows that are refused, besides SQLSTATEs.
const (
	codeInvalid      = "invalid_value" // cannot be sent
	codeInexact      = "inexact"       // the type of the column would round it, or cut it off
	codeExists       = "exists"        // insert: a row with the key is there
	codeNotFound     = "not_found"     // update: there is no row with the key
	codeDuplicateKey = "duplicate_key" // two rows have one key in the type of the column
	codeNotWritten   = "not_written"   // a trigger or policy kept the row out
	codeNotDeleted   = "not_deleted"   // a trigger or policy kept the row in
)

func refuse(o *activate.Outcome, code, message string) {
	o.Status, o.Code, o.Message, o.Created = activate.Rejected, code, message, false
}

// unfit refuses a row that was not sent.
func unfit(o *activate.Outcome, code string, err error) {
	refuse(o, code, err.Error())
	o.Local = true
}

func barred(code, what, hint string) error {
	return &activate.BarredError{Code: code, Err: errors.New(what), Hint: hint}
}

// errKeptOut means that the database took fewer rows than it was given without
// an error.
var errKeptOut = errors.New("a trigger or policy of the table kept a row out")

// blames reports whether an error may be about what is in the rows, not about the
// call: some of them may still be good.
func blames(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, errKeptOut) || errors.As(err, &pg) && !everywhere(pg.Code)
}

// everywhere tells the SQLSTATEs of the connection, of the session and of what the
// server lacks: no row has to do with them.
func everywhere(code string) bool {
	switch code[:min(2, len(code))] {
	case "08", "25", "28", "3D", "40", "53", "57", "58":
		return true
	}
	return code == "XX001" || code == "XX002" || code == "55P03"
}

// sqlEverywhere is everywhere for PL/pgSQL: it has to be told apart there too.
const sqlEverywhere = `left(elt_state, 2) IN ('08', '25', '28', '3D', '40', '53', '57', '58') OR elt_state IN ('XX001', 'XX002', '55P03')`

// ambiguous tells the SQLSTATEs that the server has for what no row can do better,
// such as a missing right, but that policies and triggers give to single rows too.
// What is in no class of the server is a trigger's own.
func ambiguous(code string) bool {
	switch code[:min(2, len(code))] {
	case "00", "01", "02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "24", "26", "27",
		"2B", "2D", "2F", "34", "38", "39", "3B", "3F", "42", "55", "72", "F0", "HV", "XX":
		return len(code) == len("42501")
	}
	return false
}

// ofRow reports whether an error is certain to be about a row: by its SQLSTATE, or
// because a policy or a RAISE in PL/pgSQL is where it comes from. The server tells
// the routine in its source; that it is the row is found out without it too where
// another row of the batch is taken.
func ofRow(pg *pgconn.PgError) bool {
	switch {
	case everywhere(pg.Code):
		return false
	case pg.Routine == "ExecWithCheckOptions", pg.Routine == "exec_stmt_raise":
		return true
	}
	return !ambiguous(pg.Code)
}

// failure is what a call ends with when nothing of it was committed.
func (d *destination) failure(ctx context.Context, err error) error {
	var already *activate.BarredError
	if errors.As(err, &already) {
		return err
	}
	where := fmt.Sprintf("%s: table %s", d.server, d.table.Display())
	if cause := context.Cause(ctx); cause != nil {
		return retry.AsTransient(fmt.Errorf("%s: %w", where, cause))
	}
	var not *pgserver.Unconnected
	if errors.As(err, &not) {
		class, _ := retry.Of(err)
		if class == retry.Transient && not.Code != pgserver.NoHost && not.Code != pgserver.BadCertificate {
			return err
		}
		return &activate.BarredError{Code: not.Code, Err: errors.New(not.Error()), Hint: "expected " + not.Expected}
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) { // the connection is gone, and with it the transaction
		return retry.AsTransient(fmt.Errorf("%s: the connection was lost: %w", where, d.server.Clean(err)))
	}
	text := fmt.Errorf("%s: %s (SQLSTATE %s)", where, d.server.Text(pg.Message), pg.Code)
	switch {
	case pgserver.Transient(pg.Code), strings.HasPrefix(pg.Code, "53"), pg.Code == "57014":
		return retry.AsTransient(text)
	case ofRow(pg):
		return &activate.RefusedError{Code: pg.Code, Message: d.server.Text(pg.Message)}
	}
	return &activate.BarredError{Code: pg.Code, Err: text, Hint: d.hint(pg.Code)}
}

// hint says what to do about a SQLSTATE that every row would meet.
func (d *destination) hint(code string) string {
	switch code {
	case "42501":
		return "let the user do it: see GRANT, or take another user in url"
	case "42P01", "3F000":
		return "make the table again, or mend to:"
	case "42703":
		return "the table has changed since the sync began: run again"
	case "25006":
		return "the server takes no writes: mend host in url if it is a standby"
	}
	return "see the server's log, and the SQLSTATE in PostgreSQL's appendix A"
}
