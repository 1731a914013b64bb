package http

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"elt/internal/yamlx"
)

// Path is a path below the url of a connection, with {object} and {FIELD}s of the
// key.
type Path string

// UnmarshalNode implements [yamlx.Unmarshaler].
func (p *Path) UnmarshalNode(d *yamlx.Decoder, n ast.Node) {
	d.Decode(n, (*string)(p))
	const expected = "a path below the url of the connection, such as /{object}/{id}"
	switch {
	case *p == "":
	case (*p)[0] != '/' || strings.ContainsAny(string(*p), "# \t\n"):
		d.Fail(n, fmt.Sprintf("path is %q", string(*p)), expected, "it begins with / and has neither # nor spaces")
	default:
		if _, err := p.parts(); err != nil {
			d.Fail(n, err.Error(), expected, "")
		}
	}
}

// parts are the literal texts of a path, each followed by a name; the last one
// has none.
func (p Path) parts() ([]part, error) {
	var out []part
	rest := string(p)
	for {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("path %q has a } without its {", string(p))
		}
		if !found {
			return append(out, part{text: before}), nil
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed || name == "" {
			return nil, fmt.Errorf("path %q has a { without a name and }", string(p))
		}
		out = append(out, part{text: before, word: "name", name: name})
		rest = behind
	}
}

// keyed reports whether the path has a field of the key.
func (p Path) keyed() bool {
	parts, _ := p.parts()
	return slices.ContainsFunc(parts, func(p part) bool { return p.name != "" && p.name != "object" })
}

// path is the address of a call with its {FIELD}s still open.
type path struct {
	parts []part // words and names as in Path; the object is put in
	shown string // the path as the project writes it, for errors
}

// parsePath puts the object into a path, and both behind the base.
func parsePath(text string, base *url.URL, object string, key []string) (path, error) {
	parts, err := Path(text).parts()
	if err != nil {
		return path{}, err
	}
	out := path{shown: strings.ReplaceAll(text, "{object}", object)}
	origin := url.URL{Scheme: base.Scheme, User: base.User, Host: base.Host}
	literal := origin.String() + strings.TrimRight(base.EscapedPath(), "/")
	if text == "/" {
		literal, parts = origin.String()+base.EscapedPath(), nil
		out.shown = "the url"
	}
	for _, p := range parts {
		literal += p.text
		switch {
		case p.name == "object":
			if bad(object) {
				return out, fmt.Errorf("object %q cannot stand in a path; write to: <connection>.<name>", object)
			}
			literal += url.PathEscape(object)
		case p.name != "" && !slices.Contains(key, p.name):
			return out, fmt.Errorf("{%s} is no field of the key, which is %s", p.name, strings.Join(key, ", "))
		case p.name != "":
			out.parts = append(out.parts, part{text: literal, name: p.name})
			literal = ""
		}
	}
	if base.RawQuery != "" {
		mark := "?"
		if strings.Contains(text, "?") {
			mark = "&"
		}
		literal += mark + base.RawQuery
	}
	out.parts = append(out.parts, part{text: literal})
	return out, nil
}

// keyed reports whether the address is that of one row.
func (p path) keyed() bool { return len(p.parts) > 1 }

// holds reports whether the address has all of a key.
func (p path) holds(key []string) bool {
	for _, k := range key {
		if !slices.ContainsFunc(p.parts, func(p part) bool { return p.name == k }) {
			return false
		}
	}
	return true
}

// url is the address for a key, or why there is none: a value that would lead to
// another place than that of its row, which an empty one and dots do.
func (p path) url(key json.RawMessage) (address, problem string) {
	if !p.keyed() {
		return p.parts[0].text, ""
	}
	var b strings.Builder
	for _, part := range p.parts {
		b.WriteString(part.text)
		if part.name == "" {
			continue
		}
		text := string(member(key, part.name))
		if strings.HasPrefix(text, `"`) {
			if err := json.Unmarshal([]byte(text), &text); err != nil {
				return "", fmt.Sprintf("the key's %s cannot be read: %v", part.name, err)
			}
		}
		if bad(text) {
			return "", fmt.Sprintf("the key's %s cannot stand in a path", part.name)
		}
		b.WriteString(url.PathEscape(text))
	}
	return b.String(), ""
}

// bad reports whether a text as a segment of a path leads elsewhere.
func bad(text string) bool { return text == "" || text == "." || text == ".." }
