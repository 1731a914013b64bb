// Package yamlx reads YAML that people wrote: strictly, with the place of every
// mistake, and all mistakes at once.
package yamlx

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Pos is a place in a file, both numbers from 1; columns count characters.
type Pos struct {
	File string
	Line int
	Col  int
}

// String prints p as file:line:col.
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col) }

// Error is one mistake in a file.
type Error struct {
	Pos      Pos
	Msg      string // what is wrong
	Expected string // what would have been right; may be ""
	Hint     string // what to type next; may be ""
	Excerpt  string // the line with a caret under the place; may be ""
}

// Error prints the place, the mistake, the line with a caret, what was expected,
// and what to type next.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Pos, e.Msg)
	if e.Excerpt != "" {
		b.WriteString("\n" + e.Excerpt)
	}
	if e.Expected != "" {
		b.WriteString("\n  expected: " + e.Expected)
	}
	if e.Hint != "" {
		b.WriteString("\n  " + e.Hint)
	}
	return b.String()
}

// Errors are all mistakes of a project or a file.
type Errors []*Error

// Error prints every mistake.
func (e Errors) Error() string {
	out := make([]string, len(e))
	for i, one := range e {
		out[i] = one.Error()
	}
	return strings.Join(out, "\n")
}

// Unwrap gives [errors.As] the single mistakes.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}

// Err returns e, or nil when there are no mistakes.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Sort orders mistakes by place, files in the order given and then in that of
// their first mistake, and drops those that say the same of the same place.
func (e *Errors) Sort(files ...string) {
	first := map[string]int{}
	for i, name := range files {
		first[name] = i - len(files)
	}
	for i, one := range *e {
		if _, ok := first[one.Pos.File]; !ok {
			first[one.Pos.File] = i
		}
	}
	slices.SortStableFunc(*e, func(a, b *Error) int {
		if d := first[a.Pos.File] - first[b.Pos.File]; d != 0 {
			return d
		}
		if d := a.Pos.Line - b.Pos.Line; d != 0 {
			return d
		}
		return a.Pos.Col - b.Pos.Col
	})
	*e = slices.CompactFunc(*e, func(a, b *Error) bool { return a.Pos == b.Pos && a.Msg == b.Msg })
}

// Nearest returns the name that was probably meant, or "" when none is close.
func Nearest(name string, names []string) string {
	best, least := "", max(1, len([]rune(name))/3)+1
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// DidYouMean is the hint for an unknown name, or "" when none is close.
func DidYouMean(name string, names []string) string {
	if n := Nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}

// OneOf lists names for the Expected of an [Error].
func OneOf(names []string) string {
	sorted := slices.Sorted(slices.Values(names))
	if len(sorted) == 0 {
		return ""
	}
	if len(sorted) == 1 {
		return sorted[0]
	}
	return strings.Join(sorted[:len(sorted)-1], ", ") + " or " + sorted[len(sorted)-1]
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 80 || len(y) > 80 {
		return 80
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}

// excerpt shows one line with a caret under col. Only that line is shown, and
// what looks like a credential is masked, so that an error can be pasted anywhere.
func (f *File) excerpt(line, col int) string {
	if line < 1 || line > len(f.lines) {
		return ""
	}
	if _, ok := f.masked[line]; !ok {
		f.masked[line] = strings.TrimRight(maskLine(f.lines[line-1]), "\r")
	}
	text := f.masked[line]
	runes := []rune(text)
	from, tail := 0, ""
	if col > 100 {
		from = min(col-60, len(runes))
	}
	if len(runes)-from > 160 {
		runes, tail = runes[:from+160], " …"
	}
	var pad strings.Builder
	for i := from; i < col-1; i++ {
		if i < len(runes) && runes[i] == '\t' {
			pad.WriteByte('\t')
			continue
		}
		pad.WriteByte(' ')
	}
	return fmt.Sprintf("%5d | %s%s\n      | %s^", line, string(runes[from:]), tail, pad.String())
}

// maskLine blanks passwords in URLs, addresses of webhooks, and the values of keys that hold credentials,
// keeping the length so that carets stay right. References such as ${env:X} and
// quotes stay: they tell nothing.
func maskLine(line string) string {
	blank := func(s string) string { return strings.Repeat("*", len([]rune(s))) }
	url := regexp.MustCompile(`(://[^\s:/@]*:)([^\s"']+)(@)`)
	line = url.ReplaceAllStringFunc(line, func(m string) string {
		p := url.FindStringSubmatch(m)
		if strings.HasPrefix(p[2], "${") {
			return m
		}
		return p[1] + blank(p[2]) + p[3]
	})
	// Whoever has the address of an incoming webhook may write to the chat.
	hook := regexp.MustCompile(`(/services/|/hooks/)([^\s"'${}]+)`)
	line = hook.ReplaceAllStringFunc(line, func(m string) string {
		p := hook.FindStringSubmatch(m)
		return p[1] + blank(p[2])
	})
	key := regexp.MustCompile(`(?i)(["']?[a-z0-9_-]*(?:password|passwd|token|secret|api_?key|private_key|credential|heartbeat)[a-z0-9_-]*["']?\s*:\s+)("[^"]*"|'[^']*'|[^\s,}]+)`)
	return key.ReplaceAllStringFunc(line, func(m string) string {
		p := key.FindStringSubmatch(m)
		value := p[2]
		if strings.Contains(value, "${") || strings.HasPrefix(value, "{") || strings.HasPrefix(value, "$") {
			return m
		}
		if len(value) > 1 && (value[0] == '"' || value[0] == '\'') {
			return p[1] + value[:1] + blank(value[1:len(value)-1]) + value[len(value)-1:]
		}
		return p[1] + blank(value)
	})
}
