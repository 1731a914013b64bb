package duckread

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"elt/internal/rows"
	"elt/internal/scan"
)

// chunkBytes is how much text goes to the engine in one statement of the slow path.
const chunkBytes = 1 << 20

// line is a line that is an object in valid JSON.
type line struct {
	Number int64  `json:"n"`
	Text   string `json:"t"`
}

// lineByLine is the precise way to read JSON lines: every line that is not
// blank is inserted or rejected with its number and text.
func (w *writer) lineByLine(ctx context.Context, f scan.File) (int64, error) {
	r, closer, err := open(f)
	if err != nil {
		return 0, err
	}
	defer func() { _ = closer.Close() }()
	var total int64
	var chunk []line
	size := 0
	flush := func() error {
		n, err := w.insertLines(ctx, f, chunk)
		total += n
		chunk, size = chunk[:0], 0
		return err
	}
	for number := int64(1); ; number++ {
		text, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, broken(f, err)
		}
		end := err != nil
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			if why := invalid(text); why != "" {
				if err := w.reject(scan.Reject{Locator: fmt.Sprintf("%s:%d", f.Name, number), Reason: why, Payload: printable(text)}); err != nil {
					return 0, err
				}
			} else {
				chunk = append(chunk, line{number, string(text)})
				size += len(text)
			}
		}
		if size >= chunkBytes || end && len(chunk) > 0 {
			if err := flush(); err != nil {
				return 0, err
			}
		}
		if end {
			return total, nil
		}
	}
}

// invalid says what keeps text from being a JSON object; "" when nothing does.
func invalid(text []byte) string {
	const expected = "expected one JSON object a line"
	if !utf8.Valid(text) {
		return "not valid UTF-8, " + expected
	}
	if !json.Valid(text) {
		var any json.RawMessage
		err := json.Unmarshal(text, &any)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && int(syntax.Offset) < len(text) {
			return fmt.Sprintf("not valid JSON at byte %d (%s), %s", syntax.Offset, syntax, expected)
		}
		return "JSON that ends early, " + expected
	}
	if text[0] != '{' {
		return "a JSON value that is no object, " + expected
	}
	return ""
}

func printable(text []byte) string { return strings.ToValidUTF8(string(text), "\ufffd") }

// insertLines inserts those of chunk whose values fit and rejects the others.
func (w *writer) insertLines(ctx context.Context, f scan.File, chunk []line) (int64, error) {
	p := w.plan
	doc, err := json.Marshal(chunk)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", f.Name, err)
	}
	fields := make(map[string]string, len(p.cols))
	for _, c := range p.cols {
		fields[c.source] = c.raw()
	}
	shape, err := json.Marshal(fields)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", f.Name, err)
	}
	// TRY_CAST: what Go calls valid JSON and DuckDB does not is rejected below.
	from := `(SELECT l.n AS "_elt_line", l.t AS "_elt_text", "_elt_ok", unnest(json_transform("_elt_json", ` + literal(string(shape)) + `)) FROM (
		SELECT l, TRY_CAST(l.t AS JSON) AS "_elt_json", "_elt_json" IS NOT NULL AS "_elt_ok"
		FROM (SELECT unnest(from_json($1, '[{"n":"BIGINT","t":"VARCHAR"}]')) AS l)))`
	if len(p.cols) == 0 {
		return 0, fmt.Errorf("read %s: its lines are objects without any key", f.Name)
	}
	list, good := items(p.cols)
	good = `"_elt_ok" AND ` + good
	n, err := w.e.Exec(ctx, w.insertSQL(append(list, literal(f.Name)+" AS "+quote(sourceFile)), from+" WHERE "+good), string(doc))
	if err != nil {
		return 0, of([]scan.File{f}, err)
	}
	if n == int64(len(chunk)) {
		return n, nil
	}
	rejected, err := w.rejectLines(ctx, f, from, good, string(doc))
	if err == nil && n+rejected != int64(len(chunk)) {
		err = fmt.Errorf("read %s: %d lines were read, but %d inserted and %d rejected", f.Name, len(chunk), n, rejected)
	}
	return n, err
}

func (w *writer) rejectLines(ctx context.Context, f scan.File, from, good, doc string) (n int64, err error) {
	why := `CASE WHEN "_elt_ok" THEN ` + reason(w.plan.cols) + ` ELSE 'not valid JSON, expected one JSON object a line' END`
	r, err := w.e.Query(ctx, `SELECT "_elt_line", `+why+`, "_elt_text" FROM `+from+` WHERE NOT (`+good+`) ORDER BY 1`, doc)
	if err != nil {
		return 0, of([]scan.File{f}, err)
	}
	err = rows.Each(r, func(row rows.Row) error {
		n++
		return w.reject(scan.Reject{Locator: fmt.Sprintf("%s:%d", f.Name, row.Int(0)), Reason: row.String(1), Payload: row.String(2)})
	})
	return n, err
}
