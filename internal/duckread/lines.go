package duckread

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"elt/internal/rows"
	"elt/internal/scan"
)

// chunkBytes is how much text goes to the engine in one statement of the slow path.
const chunkBytes = 1 << 20

// line is a line, or an item of a document, that is an object in valid JSON.
type line struct {
	Number int64  `json:"n"`
	Text   string `json:"t"`
	Read   string `json:"r,omitempty"` // what is read of it, where that is not the text
}

// chunk are lines of one file on their way to the engine.
type chunk struct {
	w     *writer
	f     scan.File
	cols  []column
	place string // of a line, in the form of its number
	lines []line
	size  int
	total int64 // rows inserted
}

// verbatim makes the columns of g read what verbatim writes, where on is set.
func (g *group) verbatim(on bool) {
	g.cols = slices.Clone(g.cols)
	for i := range g.cols {
		g.cols[i].verbatim = on
	}
}

// add takes the line of that number, or rejects it.
func (c *chunk) add(ctx context.Context, number int64, text []byte) error {
	if why := invalid(text); why != "" {
		return c.w.reject(scan.Reject{Locator: fmt.Sprintf(c.place, number), Reason: why, Payload: printable(text)})
	}
	l := line{Number: number, Text: string(text)}
	if len(c.cols) > 0 && c.cols[0].verbatim {
		read, err := verbatim(text, c.cols)
		if err != nil {
			return fmt.Errorf("read "+c.place+": %w", number, err)
		}
		l.Read = string(read)
	}
	c.lines = append(c.lines, l)
	if c.size += len(l.Text) + len(l.Read); c.size >= chunkBytes {
		return c.flush(ctx)
	}
	return nil
}

// flush inserts the lines that were added.
func (c *chunk) flush(ctx context.Context) error {
	if len(c.lines) == 0 {
		return nil
	}
	n, err := c.insert(ctx)
	c.total += n
	c.lines, c.size = c.lines[:0], 0
	return err
}

// oneByOne is the precise way to read JSON documents, object by object.
func (w *writer) oneByOne(ctx context.Context, g group) (int64, error) {
	g.verbatim(true)
	var total int64
	for _, f := range g.files {
		r, closer, err := open(f)
		if err != nil {
			return 0, err
		}
		c := &chunk{w: w, f: f, cols: g.cols, place: strings.ReplaceAll(f.Name, "%", "%%") + " item %d"}
		var item int64
		err = objects(r, func(text []byte) error {
			item++
			return c.add(ctx, item, text)
		})
		if err == nil {
			err = c.flush(ctx)
		}
		_ = closer.Close()
		if err != nil {
			return 0, of(g.files, err)
		}
		total += c.total
	}
	return total, nil
}

// lineByLine is the precise way to read JSON lines: every line that is not
// blank is inserted or rejected with its number and text.
func (w *writer) lineByLine(ctx context.Context, f scan.File, cols []column) (int64, error) {
	r, closer, err := open(f)
	if err != nil {
		return 0, err
	}
	defer func() { _ = closer.Close() }()
	c := &chunk{w: w, f: f, cols: cols, place: strings.ReplaceAll(f.Name, "%", "%%") + ":%d"}
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
			if err := c.add(ctx, number, text); err != nil {
				return 0, err
			}
		}
		if end {
			err := c.flush(ctx)
			return c.total, err
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

// insert inserts those lines whose values fit and rejects the others.
func (c *chunk) insert(ctx context.Context) (int64, error) {
	f := c.f
	doc, err := json.Marshal(c.lines)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", f.Name, err)
	}
	fields := make(map[string]string, len(c.cols))
	for _, col := range c.cols {
		fields[col.source] = col.raw()
	}
	shape, err := json.Marshal(fields)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", f.Name, err)
	}
	// TRY_CAST: what Go calls valid JSON and DuckDB does not is rejected below.
	from := `(SELECT l.n AS "_elt_line", l.t AS "_elt_text", "_elt_ok", unnest(json_transform("_elt_json", ` + literal(string(shape)) + `)) FROM (
		SELECT l, TRY_CAST(coalesce(l.r, l.t) AS JSON) AS "_elt_json", "_elt_json" IS NOT NULL AS "_elt_ok"
		FROM (SELECT unnest(from_json($1, '[{"n":"BIGINT","t":"VARCHAR","r":"VARCHAR"}]')) AS l)))`
	if len(c.cols) == 0 {
		return 0, fmt.Errorf("read %s: its lines are objects without any key", f.Name)
	}
	list, good := items(c.cols)
	good = `"_elt_ok" AND ` + good
	n, err := c.w.e.Exec(ctx, c.w.insertSQL(append(list, literal(f.Name)+" AS "+quote(sourceFile)), from+" WHERE "+good), string(doc))
	if err != nil {
		return 0, of([]scan.File{f}, err)
	}
	if n == int64(len(c.lines)) {
		return n, nil
	}
	rejected, err := c.reject(ctx, from, good, string(doc))
	if err == nil && n+rejected != int64(len(c.lines)) {
		err = fmt.Errorf("read %s: %d lines were read, but %d inserted and %d rejected", f.Name, len(c.lines), n, rejected)
	}
	return n, err
}

func (c *chunk) reject(ctx context.Context, from, good, doc string) (n int64, err error) {
	why := `CASE WHEN "_elt_ok" THEN ` + reason(c.cols) + ` ELSE 'not valid JSON, expected one JSON object a line' END`
	r, err := c.w.e.Query(ctx, `SELECT "_elt_line", `+why+`, "_elt_text" FROM `+from+` WHERE NOT (`+good+`) ORDER BY 1`, doc)
	if err != nil {
		return 0, of([]scan.File{c.f}, err)
	}
	err = rows.Each(r, func(row rows.Row) error {
		n++
		return c.w.reject(scan.Reject{Locator: fmt.Sprintf(c.place, row.Int(0)), Reason: row.String(1), Payload: row.String(2)})
	})
	return n, err
}
