package report

import (
	"strconv"
	"strings"
	"unicode"
)

// Visible writes out the control characters of s but those of keep: what comes
// from a source may hold some, and a terminal would obey them.
func Visible(s, keep string) string {
	hidden := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(keep, r) }
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !hidden(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}
