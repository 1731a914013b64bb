package load

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"elt/internal/warehouse"
)

// The kinds of tables that a load makes aside; their names start with
// warehouse.Reserved, so that Sweep finds them after a crash.
const (
	kindStage = "stage"
	kindPick  = "pick"
)

// asideName is the name of the aside table of a load: readable, and within the
// shortest limit of the engines.
func asideName(kind string, c *Contract) string {
	sum := sha256.Sum256([]byte(c.Table.Display() + "\x00" + c.LoadID))
	suffix := "_" + hex.EncodeToString(sum[:6])
	prefix := warehouse.Reserved + kind + "_"
	const longest = 63
	return prefix + truncate(c.Table.Name, longest-len(prefix)-len(suffix)) + suffix
}

// truncate cuts s to at most n bytes, never inside a character.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// checkNames refuses columns that the warehouse cannot hold as they are, all at once.
func checkNames(d *warehouse.Dialect, names []string) error {
	var errs []error
	seen := map[string]string{}
	for i, name := range names {
		switch {
		case name == "":
			errs = append(errs, fmt.Errorf("column %d has no name; name it in the source, or under `columns:` of the stream", i+1))
		case strings.ContainsRune(name, 0):
			errs = append(errs, fmt.Errorf("column %d: its name %q has a NUL byte, which no warehouse holds; rename it in the source", i+1, name))
		case !utf8.ValidString(name):
			errs = append(errs, fmt.Errorf("column %d: its name %q is not UTF-8; rename it in the source", i+1, name))
		case d.MaxName > 0 && len(name) > d.MaxName:
			errs = append(errs, fmt.Errorf("column %q has %d bytes; %s takes names up to %d; rename it in the source",
				name, len(name), d.Name, d.MaxName))
		case strings.HasPrefix(strings.ToLower(name), warehouse.Reserved):
			errs = append(errs, fmt.Errorf("column %q: names that begin with %s are reserved; rename it in the source", name, warehouse.Reserved))
		}
		if other, ok := seen[fold(name)]; ok && name != "" {
			errs = append(errs, fmt.Errorf("columns %q and %q would be the same column; rename one of them in the source", other, name))
		}
		seen[fold(name)] = name
	}
	return errors.Join(errs...)
}

// fold makes names comparable: two that differ in case only are one column.
func fold(name string) string { return strings.ToLower(name) }

// isOurs reports whether elt itself adds the column.
func isOurs(name string) bool { return name == warehouse.ColLoadID || name == warehouse.ColLoadedAt }

// list joins the quoted names.
func list(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = warehouse.Quote(n)
	}
	return strings.Join(quoted, ", ")
}

// sameKey is the condition that rows a and b have the same key, or the same lack of one.
func sameKey(a, b string, key []string) string {
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = a + "." + warehouse.Quote(k) + " IS NOT DISTINCT FROM " + b + "." + warehouse.Quote(k)
	}
	return strings.Join(parts, " AND ")
}

func names(cols []warehouse.Column) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.Name
	}
	return out
}

// dataColumns leaves out the columns that elt adds.
func dataColumns(cols []warehouse.Column) []warehouse.Column {
	var out []warehouse.Column
	for _, c := range cols {
		if !isOurs(c.Name) {
			out = append(out, c)
		}
	}
	return out
}

// find returns the column of that name, whatever its case.
func find(cols []warehouse.Column, name string) (warehouse.Column, bool) {
	for _, c := range cols {
		if fold(c.Name) == fold(name) {
			return c, true
		}
	}
	return warehouse.Column{}, false
}

// isAside reports whether name is one that asideName makes.
func isAside(name string) bool {
	return strings.HasPrefix(name, warehouse.Reserved+kindStage+"_") || strings.HasPrefix(name, warehouse.Reserved+kindPick+"_")
}
