package yamlx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxSize bounds a file; nobody writes more by hand, and the parser's time grows
// faster than its input.
const maxSize = 1 << 20

// maxAliases bounds the search for aliases that hold themselves.
const maxAliases = 1000

// File is one parsed YAML document.
type File struct {
	Name    string
	Root    ast.Node // nil when the document is empty
	lines   []string
	masked  map[int]string // lines as excerpts show them
	targets map[*ast.AliasNode]ast.Node
}

// Parse reads one document. Excerpts are taken from shown, which has the same
// lines and columns as src; nil: src. A caller whose YAML is embedded in
// something else blanks out what is not YAML, keeps lines and columns, and
// passes the whole as shown.
func Parse(name string, src, shown []byte) (*File, Errors) {
	if shown == nil {
		shown = src
	}
	f := &File{Name: name, lines: strings.Split(string(shown), "\n"), targets: map[*ast.AliasNode]ast.Node{}, masked: map[int]string{}}
	if len(src) > maxSize {
		return f, Errors{f.error(1, 1, "the file is too large", fmt.Sprintf("at most %d bytes", maxSize), "")}
	}
	if e := f.foreign(src); e != nil {
		return f, Errors{e}
	}
	src = []byte(strings.TrimPrefix(string(src), "\ufeff"))
	tokens := tokenize(src)
	if deep := tooDeep(tokens); deep != nil {
		return f, Errors{f.error(deep.Line, deep.Column, "too many or too deeply nested values", "a file that a person can read", "")}
	}
	src, errs := f.bareReferences(src, tokens)
	if len(errs) > 0 {
		tokens = tokenize(src)
	}
	doc, err := parse(tokens)
	if err != nil {
		return f, append(errs, f.syntax(err))
	}
	for _, d := range doc.Docs {
		if d == nil || d.Body == nil {
			continue
		}
		if _, ok := d.Body.(*ast.CommentGroupNode); ok {
			continue
		}
		if f.Root != nil {
			p := f.Pos(d.Body)
			return f, append(errs, f.error(p.Line, p.Col, "a second YAML document", "one document", "delete the --- line above, or move what follows to a file of its own"))
		}
		f.Root = d.Body
		errs = append(errs, f.aliases(d.Body)...)
	}
	return f, errs
}

// parse guards the parser, which has crashed on malformed input before.
func parse(tokens token.Tokens) (f *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, errors.New("this is no YAML")
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// tokenize guards the lexer likewise.
func tokenize(src []byte) (tokens token.Tokens) {
	defer func() {
		if recover() != nil {
			tokens = token.Tokens{token.Invalid("no YAML", "", &token.Position{Line: 1, Column: 1})}
		}
	}()
	return lexer.Tokenize(string(src))
}

// tooDeep returns the place where brackets, or dashes on one line, nest deeper
// than the parser, which recurses, may follow.
func tooDeep(tokens token.Tokens) *token.Position {
	flow, block, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			line, block = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			block++
		}
		if (flow > maxDepth || block > 10*maxDepth) && t.Position != nil {
			return t.Position
		}
	}
	return nil
}

func (f *File) syntax(err error) *Error {
	e := f.error(1, 1, "this is no YAML", "", "")
	var located yaml.Error
	if !errors.As(err, &located) {
		return e
	}
	if t := located.GetToken(); t != nil && t.Position != nil {
		e = f.error(t.Position.Line, t.Position.Column, "", "", "")
	}
	e.Msg = "this is no YAML: " + strings.ReplaceAll(located.GetMessage(), "\t", `\t`)
	if strings.Contains(e.Excerpt, "\t") {
		e.Hint = "indent with spaces, not with tabs"
	}
	return e
}

// bareReferences finds ${…} that stands unquoted in flow style, where YAML takes
// the brace for a mapping. Each is blanked to a word of the same length, so that
// the rest of the file is still read and all mistakes are told at once.
func (f *File) bareReferences(src []byte, tokens token.Tokens) ([]byte, Errors) {
	if !strings.Contains(string(src), "${") {
		return src, nil
	}
	var errs Errors
	lines := strings.Split(string(src), "\n")
	for i := 0; i+1 < len(tokens); i++ {
		t, next := tokens[i], tokens[i+1]
		p := next.Position
		if t.Type != token.StringType || next.Type != token.MappingStartType || !strings.HasSuffix(t.Value, "$") {
			continue
		}
		if p == nil || p.Line < 1 || p.Line > len(lines) {
			continue
		}
		line := []rune(lines[p.Line-1])
		at := p.Column - 2
		if at < 0 || at+1 >= len(line) || line[at] != '$' || line[at+1] != '{' {
			continue
		}
		end := at + 1
		for end < len(line) && line[end] != '}' {
			end++
		}
		whole := string(line[at:min(end+1, len(line))])
		errs = append(errs, f.error(p.Line, p.Column-1, "unquoted "+whole+" inside braces or brackets", "a quoted reference", fmt.Sprintf("write %q", whole)))
		for j := at; j <= end && j < len(line); j++ {
			line[j] = 'x'
		}
		lines[p.Line-1] = string(line)
	}
	return []byte(strings.Join(lines, "\n")), errs
}

// Pos returns the place where n starts.
func (f *File) Pos(n ast.Node) Pos {
	line, col := start(n, 0)
	return Pos{File: f.Name, Line: max(1, line), Col: max(1, col)}
}

// Error makes a mistake at p, with its excerpt.
func (f *File) Error(p Pos, msg, expected, hint string) *Error {
	return f.error(p.Line, p.Col, msg, expected, hint)
}

func (f *File) error(line, col int, msg, expected, hint string) *Error {
	line, col = max(1, line), max(1, col)
	return &Error{Pos: Pos{f.Name, line, col}, Msg: msg, Expected: expected, Hint: hint, Excerpt: f.excerpt(line, col)}
}

// start is the first character of n. The parser gives a block mapping the place
// of its first colon.
func start(n ast.Node, depth int) (line, col int) {
	if depth < 100 {
		switch n := n.(type) {
		case *ast.MappingNode:
			if len(n.Values) > 0 && !n.IsFlowStyle {
				return start(n.Values[0], depth+1)
			}
		case *ast.MappingValueNode:
			if n.Key != nil {
				return start(n.Key, depth+1)
			}
		}
	}
	if n == nil {
		return 1, 1
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return t.Position.Line, t.Position.Column
}

// aliases finds what each alias stands for: the last anchor of its name before
// it. One that stands for nothing, or for something that holds it, is a mistake
// and stands for nothing.
func (f *File) aliases(root ast.Node) Errors {
	v := &anchorVisitor{anchors: map[string]ast.Node{}, targets: f.targets}
	ast.Walk(v, root)
	var errs Errors
	if len(v.aliases) > maxAliases {
		clear(f.targets)
		return Errors{f.error(1, 1, "too many aliases", fmt.Sprintf("at most %d", maxAliases), "")}
	}
	for _, alias := range v.aliases {
		name := aliasName(alias)
		target := f.targets[alias]
		inside := &seeker{alias: alias}
		if target != nil {
			ast.Walk(inside, target)
		}
		switch {
		case target == nil:
			names := slices.Collect(maps.Keys(v.anchors))
			errs = append(errs, f.Error(f.Pos(alias), fmt.Sprintf("unknown anchor %q", name), "a name that is marked with & above", DidYouMean(name, names)))
		case inside.found:
			errs = append(errs, f.Error(f.Pos(alias), fmt.Sprintf("%q stands for something that holds it", name), "an alias outside of its anchor", ""))
			delete(f.targets, alias)
		}
	}
	return errs
}

func aliasName(n *ast.AliasNode) string {
	if n.Value == nil {
		return ""
	}
	return strings.TrimSpace(n.Value.String())
}

type anchorVisitor struct {
	anchors map[string]ast.Node
	targets map[*ast.AliasNode]ast.Node
	aliases []*ast.AliasNode
}

// Visit implements [ast.Visitor]; nodes come in the order written.
func (v *anchorVisitor) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.AnchorNode:
		if n.Name != nil && n.Value != nil {
			v.anchors[n.Name.String()] = n.Value
		}
	case *ast.AliasNode:
		v.aliases = append(v.aliases, n)
		if target, ok := v.anchors[aliasName(n)]; ok {
			v.targets[n] = target
		}
	}
	return v
}

// seeker looks for an alias below a node.
type seeker struct {
	alias *ast.AliasNode
	found bool
}

// Visit implements [ast.Visitor].
func (s *seeker) Visit(n ast.Node) ast.Visitor {
	if n == ast.Node(s.alias) {
		s.found = true
	}
	if s.found {
		return nil
	}
	return s
}
