package duckread

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/scan"
)

// of wraps an engine's error with what was being read: the one file that it is
// about, where it says so, and what to do about one that is damaged.
func of(files []scan.File, err error) error {
	if err == nil {
		return nil
	}
	text := firstParagraph(err.Error())
	subject := files[0].Name
	if len(files) > 1 {
		subject = fmt.Sprintf("%s and %d more", files[0].Name, len(files)-1)
	}
	blamed := false
	for _, f := range files {
		if blamed = mentions(text, f.Path); blamed {
			subject = f.Name
			text = strings.ReplaceAll(text, f.Path, f.Name)
			break
		}
	}
	var engine *duckdb.Error
	if errors.As(err, &engine) && engine.Type == duckdb.ErrorTypeIO && !blamed { // what is written is to blame, not what is read
		return &plainError{text: text, err: err}
	}
	if engine != nil && engine.Type == duckdb.ErrorTypeInvalidInput {
		text = diagnosis(strings.TrimPrefix(text, "Invalid Input Error: "), subject, files[0])
	}
	return fmt.Errorf("read %s: %w", subject, &plainError{text: text, err: err})
}

// mentions reports whether text names path and not one that it begins.
func mentions(text, path string) bool {
	_, after, ok := strings.Cut(text, path)
	return ok && (after == "" || strings.ContainsAny(after[:1], `"',:; `+"\n"))
}

// diagnosis puts what the engine says of the content of a file into one line
// that ends with what to do.
func diagnosis(text, subject string, f scan.File) string {
	if strings.HasPrefix(text, "Error when sniffing file") { // the only thing that tells it from the others
		return "no table can be made of it: a quote is never closed, or separator, quote or encoding are others; " +
			"look at the file, and name them under `csv:` of the stream (delimiter, quote, encoding)"
	}
	what := map[string]string{
		".parquet": "the Parquet data is damaged or cut off",
		".json":    "the JSON is damaged or cut off",
	}[strings.ToLower(filepath.Ext(f.Path))]
	if what == "" {
		first, _, _ := strings.Cut(text, "\n")
		return strings.TrimSpace(first) + "; look at the file, and at `csv:` of the stream"
	}
	for _, noise := range []string{` in file "` + subject + `"`, ` of file '` + subject + `'`, `Failed to read file "` + subject + `": `, `File '` + subject + `' `} {
		text = strings.ReplaceAll(text, noise, "")
	}
	return what + " (" + strings.TrimSuffix(text, ".") + "); fetch the file again, or move it out of the pattern"
}

// firstParagraph takes the engine's excerpt of a statement out of an error's
// text: nobody wrote that statement, so it explains nothing.
func firstParagraph(text string) string {
	text, _, _ = strings.Cut(text, "\n\nLINE ")
	return strings.TrimSpace(text)
}

// plainError has a text for people; its chain is that of the engine's error.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }

func (e *plainError) Unwrap() error { return e.err }
