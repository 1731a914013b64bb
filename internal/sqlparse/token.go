package sqlparse

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// TokenKind is what a token is.
type TokenKind int

// The kinds of tokens. White space is none.
const (
	Comment TokenKind = iota // -- to the end of the line, or /* */, nested
	String                   // 'text', E'text', $tag$text$tag$
	Word                     // a bare name or keyword
	Quoted                   // "a name"
	Other                    // a number, or one character of anything else
)

// Token is a piece of SQL.
type Token struct {
	Kind        TokenKind
	Offset, End int    // bytes
	Text        string // as written
}

// Value is a name or a plain string without its quotes, a comment without its marks.
func (t Token) Value() string {
	switch {
	case t.Kind == Quoted && len(t.Text) >= 2:
		return strings.ReplaceAll(t.Text[1:len(t.Text)-1], `""`, `"`)
	case t.Kind == String && len(t.Text) >= 2 && t.Text[0] == '\'':
		return strings.ReplaceAll(t.Text[1:len(t.Text)-1], `''`, `'`)
	case t.Kind == Comment && strings.HasPrefix(t.Text, "--"):
		return strings.TrimSpace(t.Text[2:])
	case t.Kind == Comment:
		return strings.TrimSpace(strings.TrimSuffix(t.Text[2:], "*/"))
	default:
		return t.Text
	}
}

// Tokens splits sql the way both dialects do. Text that ends inside a string or
// a comment gives that token up to the end: parsers report it, not this.
func Tokens(sql string) iter.Seq[Token] {
	return func(yield func(Token) bool) {
		for at := 0; at < len(sql); {
			if strings.IndexByte(" \t\r\n\f\v", sql[at]) >= 0 {
				at++
				continue
			}
			kind, end := next(sql, at)
			if !yield(Token{Kind: kind, Offset: at, End: end, Text: sql[at:end]}) {
				return
			}
			at = end
		}
	}
}

func next(sql string, at int) (TokenKind, int) {
	rest := sql[at:]
	c := rest[0]
	switch {
	case strings.HasPrefix(rest, "--"):
		if i := strings.IndexByte(rest, '\n'); i >= 0 {
			return Comment, at + i
		}
		return Comment, len(sql)
	case strings.HasPrefix(rest, "/*"):
		return Comment, at + blockComment(rest)
	case c == '\'':
		return String, at + quoted(rest, 0, false)
	case (c == 'e' || c == 'E') && len(rest) > 1 && rest[1] == '\'':
		return String, at + quoted(rest, 1, true)
	case c == '"':
		return Quoted, at + quoted(rest, 0, false)
	case c == '$':
		if n := dollarQuoted(rest); n > 0 {
			return String, at + n
		}
	case isNameStart(c):
		n := 1
		for n < len(rest) && isNamePart(rest[n]) {
			n++
		}
		return Word, at + n
	case c >= '0' && c <= '9':
		n := 1
		for n < len(rest) && (rest[n] == '.' || rest[n] == '_' || isNamePart(rest[n]) && rest[n] < 0x80) {
			n++
		}
		return Other, at + n
	}
	_, n := utf8.DecodeRuneInString(rest)
	return Other, at + n
}

func isNameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func isNamePart(c byte) bool { return isNameStart(c) || c >= '0' && c <= '9' || c == '$' }

// blockComment is the length of the comment that s begins with; comments nest.
func blockComment(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// quoted is the length of what s begins with: a string or name whose first quote
// stands at open, in which a doubled quote stands for one.
func quoted(s string, open int, backslash bool) int {
	q := s[open]
	for i := open + 1; i < len(s); i++ {
		switch {
		case backslash && s[i] == '\\':
			i++
		case s[i] == q && i+1 < len(s) && s[i+1] == q:
			i++
		case s[i] == q:
			return i + 1
		}
	}
	return len(s)
}

// dollarQuoted is the length of the string $tag$…$tag$ that s begins with; 0 for none.
func dollarQuoted(s string) int {
	end := strings.IndexByte(s[1:], '$')
	if end < 0 {
		return 0
	}
	tag := s[:end+2]
	for i := 1; i < len(tag)-1; i++ {
		if c := tag[i]; !isNamePart(c) || c == '$' || i == 1 && !isNameStart(c) {
			return 0
		}
	}
	if n := strings.Index(s[len(tag):], tag); n >= 0 {
		return len(tag) + n + len(tag)
	}
	return len(s)
}

// nameAt reads a name of so many parts at offset: its end and its last part.
func nameAt(sql string, offset, parts int) (end int, last string, ok bool) {
	if offset < 0 || offset >= len(sql) {
		return 0, "", false
	}
	want := parts*2 - 1
	for t := range Tokens(sql[offset:]) {
		switch {
		case t.Kind == Comment:
			continue
		case want%2 == 1 && (t.Kind == Word || t.Kind == Quoted):
			last, end = t.Value(), offset+t.End
		case want%2 == 0 && t.Text == ".":
		default:
			return 0, "", false
		}
		if want--; want == 0 {
			return end, last, true
		}
	}
	return 0, "", false
}

// statementEnd is where the statement ends: before its semicolon and the
// comments at the end.
func statementEnd(sql string) int {
	end := 0
	for t := range Tokens(sql) {
		if t.Kind == Comment {
			continue
		}
		if t.Text == ";" {
			break
		}
		end = t.End
	}
	return end
}

// byteOf is where the character n of text begins, counted from 0.
func byteOf(text string, n int) int {
	for at := range text {
		if n == 0 {
			return at
		}
		n--
	}
	return len(text)
}
