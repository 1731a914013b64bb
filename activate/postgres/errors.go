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
	codeExists       = "exists"        // insert: a row with the key is there
	codeNotFound     = "not_found"     // update: there is no row with the key
	codeDuplicateKey = "duplicate_key" // two rows have one key in the type of the column
	codeNotWritten   = "not_written"   // a trigger or policy kept the row out
	codeNotDeleted   = "not_deleted"   // a trigger or policy kept the row in
)

func refuse(o *activate.Outcome, code, message string) {
	o.Status, o.Code, o.Message, o.Created = activate.Rejected, code, message, false
}

func barred(code, what, hint string) error {
	return &activate.BarredError{Code: code, Err: errors.New(what), Hint: hint}
}

// errKeptOut means that the database took fewer rows than it was given without
// an error.
var errKeptOut = errors.New("a trigger or policy of the table kept a row out")

// blames reports whether an error is about what is in the rows, not about the
// call: some of them may still be good.
func blames(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, errKeptOut) || errors.As(err, &pg) && ofRow(pg.Code)
}

// ofRow tells the SQLSTATEs of data, constraints, views' check options and
// limits, and those that triggers raise.
func ofRow(code string) bool {
	switch code[:min(2, len(code))] {
	case "21", "22", "23", "44", "54", "P0":
		return true
	}
	return false
}

// sqlOfRow is ofRow for PL/pgSQL: it has to be told apart there too.
const sqlOfRow = `left(elt_state, 2) IN ('21', '22', '23', '44', '54', 'P0')`

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
	case ofRow(pg.Code):
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
