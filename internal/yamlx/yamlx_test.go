package yamlx_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elt/internal/secret"
	"elt/internal/yamlx"
)

type inner struct {
	Host string `yaml:"host" jsonschema:"required,description=where it is"`
	Pos  yamlx.Pos
}

type doc struct {
	Name    string            `yaml:"name"`
	Count   int               `yaml:"count" jsonschema:"minimum=1"`
	On      *bool             `yaml:"on"`
	Wait    time.Duration     `yaml:"wait"`
	Token   secret.String     `yaml:"token"`
	Tags    []string          `yaml:"tags"`
	Map     map[string]string `yaml:"map"`
	Mode    string            `yaml:"mode" jsonschema:"enum=fast,enum=slow"`
	Servers map[string]inner  `yaml:"servers"`
	Checks  yamlx.Checks      `yaml:"checks"`
	Again   *doc              `yaml:"again"`
}

func decode(src string) (doc, yamlx.Errors) {
	f, errs := yamlx.Parse("a.yaml", []byte(src), nil)
	d := &yamlx.Decoder{File: f, Errs: &errs}
	var out doc
	if f.Root != nil {
		d.Struct(f.Root, &out)
	}
	errs.Sort()
	return out, errs
}

func TestDecode(t *testing.T) {
	t.Parallel()
	got, errs := decode(`
name: shop
count: 1_000
on: false
wait: 7d
token: hush
tags: one
map: &m {a: x, b: 2}
mode: slow
servers:
  first: {host: h}
checks:
  - not_null: id
  - unique: [id, day]
    severity: warn
    where: id > 0
  - accepted_values: {column: s, values: [paid, 1, true]}
  - relationships: {column: c, to: shop.customers.id}
  - range: {column: n, min: 0}
  - expression: n >= 0
  - sql: select 1
again: {map: {<<: *m, a: y}}
`)
	if errs != nil {
		t.Fatal(errs)
	}
	if got.Count != 1000 || *got.On || got.Wait != 168*time.Hour || got.Token.Reveal() != "hush" {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(map[string]string{"a": "y", "b": "2"}, got.Again.Map); diff != "" {
		t.Errorf("a merged mapping: %s", diff)
	}
	if p := got.Servers["first"].Pos; p.Line != 11 || p.Col != 10 {
		t.Errorf("the place of a struct is %s, want 11:10", p)
	}
	want := []yamlx.Check{
		{Kind: "not_null", Columns: []string{"id"}, Severity: "error"},
		{Kind: "unique", Columns: []string{"id", "day"}, Severity: "warn", Where: "id > 0"},
		{Kind: "accepted_values", Columns: []string{"s"}, Values: []string{"paid", "1", "true"}, Severity: "error"},
		{Kind: "relationships", Columns: []string{"c"}, To: "shop.customers.id", Severity: "error"},
		{Kind: "range", Columns: []string{"n"}, Min: "0", Severity: "error"},
		{Kind: "expression", SQL: "n >= 0", Severity: "error"},
		{Kind: "sql", SQL: "select 1", Severity: "error"},
	}
	for i := range got.Checks {
		got.Checks[i].Pos = yamlx.Pos{}
	}
	if diff := cmp.Diff(want, []yamlx.Check(got.Checks)); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesHaveTheirPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ src, at, msg, rest string }{
		{"nme: x\n", "1:1", `unknown key "nme"`, `did you mean "name"?`},
		{"name: [x]\n", "1:7", "name is a list", "a text"},
		{"name: true\n", "1:7", "name is true", "in quotes"},
		{"name:\n", "1:1", "name has no value", "a text"},
		{"a: 1\nname: x\n", "1:1", `unknown key "a"`, ""},
		{"name: x\nname: y\n", "2:1", "first at a.yaml:1:1", ""},
		{"count: many\n", "1:8", `count is "many"`, "a whole number"},
		{"count: 0\n", "1:8", "count is 0", "at least 1"},
		{"on: yes\n", "1:5", `on is "yes"`, "true or false"},
		{"wait: 5 minutes\n", "1:7", `wait is "5 minutes"`, "a duration such as"},
		{"wait: -5m\n", "1:7", `wait is "-5m"`, "a duration such as"},
		{"mode: slw\n", "1:7", `mode is "slw"`, `did you mean "slow"?`},
		{"servers: {a: {}}\n", "1:14", "host is missing", "where it is"},
		{"servers: x\n", "1:10", "servers is a text", "a mapping"},
		{"map: {ä: 1, b: [2]}\n", "1:16", "b is a list", ""},
		{"name: {url: ${env:X}}\n", "1:13", "unquoted ${env:X}", `write "${env:X}"`},
		{"tags: [${env:X}]\ncuont: 1\n", "2:1", "unknown key", "count"},
		{"a: [1\nb: 2\n", "2:1", "this is no YAML", ""},
		{"map:\n\ta: 1\n", "2:1", "this is no YAML", "spaces"},
		{"name: a\n---\nname: b\n", "3:1", "a second YAML document", ""},
		{"- a\n", "1:1", "the value is a list", "a mapping"},
		{"checks: [{not_nul: id}]\n", "1:11", `unknown check "not_nul"`, `did you mean "not_null"?`},
		{"checks: [{severity: warn}]\n", "1:10", "names no check", ""},
		{"checks: [{unique: a, not_null: a}]\n", "1:22", "a second check", ""},
		{"checks: [{unique: a, severity: bad}]\n", "1:32", `severity is "bad"`, "warn or error"},
		{"checks: [{range: {column: a}}]\n", "1:18", "neither min nor max", "{column: NAME"},
		{"checks: [{range: {column: a, min: 5, max: 1}}]\n", "1:35", "min is greater than max", ""},
		{"checks: [{range: {column: a, to: x}}]\n", "1:30", `takes no key "to"`, ""},
		{"checks: [{relationships: {column: a, to: b.c}}]\n", "1:42", `to is "b.c"`, "schema.table.column"},
		{"checks: [{accepted_values: {column: a}}]\n", "1:28", "lists no values", ""},
		{"checks: [{expression: ''}]\n", "1:23", "expression is empty", ""},
		{"checks: [{unique: }]\n", "1:11", "names no column", ""},
	} {
		_, errs := decode(c.src)
		var all []string
		found := false
		for _, e := range errs {
			all = append(all, e.Error())
			found = found || strings.HasPrefix(e.Error(), "a.yaml:"+c.at+": ") && strings.Contains(e.Msg, c.msg) && strings.Contains(e.Error(), c.rest) && e.Excerpt != ""
		}
		if !found {
			t.Errorf("%q: want %s %s %s, got\n%s", c.src, c.at, c.msg, c.rest, strings.Join(all, "\n"))
		}
	}
}

func TestExcerptsHideCredentials(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		"cuont: {url: \"postgres://u:hunter2@h/db\"}\n",
		"cuont: {token: hunter2}\n",
		"cuont: {api_key: \"hunter2\", b: 1}\n",
		"cuont: {'password': 'hunter2'}\n",
	} {
		_, errs := decode(src)
		if text := errs.Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "*******") {
			t.Errorf("%q gives\n%s", src, text)
		}
	}
}

func TestAliasesCannotBlowUp(t *testing.T) {
	t.Parallel()
	laughs := "tags: [&a0 [x]"
	for i := range 20 {
		laughs += fmt.Sprintf(", &a%d [%s]", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
	}
	laughs += "]\n"
	for _, src := range []string{
		"again: &a {again: *a}\n",
		"again: *nowhere\n",
		"map: &a {<<: *a}\n",
		"tags: &a [*a, *a, *a, *a]\n",
		"map: *a\nagain: &a {name: x}\n",
		"tags: [&a [x], " + strings.Repeat("*a, ", 1001) + "]\n",
		laughs,
		"tags: " + strings.Repeat("- ", 100_000) + "x\n",
		"tags: " + strings.Repeat("[", 100_000) + "\n",
		"again: " + strings.Repeat("{again: ", 200) + strings.Repeat("}", 200) + "\n",
	} {
		if _, errs := decode(src); len(errs) == 0 {
			t.Errorf("%.40q gives %d mistakes", src, len(errs))
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"customers", "orders", "events"}
	for in, want := range map[string]string{"custmers": "customers", "oders": "orders", "ordres": "orders", "x": "", "Orders": "orders", "": ""} {
		if got := yamlx.Nearest(in, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzDecode holds that no input makes the decoder crash, and that each
// mistake has a place inside the file.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"name: x\n", "checks: [{range: {column: a, min: 1}}]\n", "map: &a {<<: *a}\n", "tags: [${env:X}]\n", "? [a]\n: b\n", "a: |\n  x\n", "&a a: *a\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 4096 {
			return
		}
		_, errs := decode(src)
		for _, e := range errs {
			if e.Pos.Line < 1 || e.Pos.Col < 1 || e.Msg == "" {
				t.Errorf("a mistake without its place: %+v", e)
			}
		}
	})
}

// A file that is no text is told by its place, and none of it reaches the terminal.
func TestFilesThatAreNoText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ src, want string }{
		"binary":  {"a: 1\nb: \xfe\xed\x00", "a.yaml:2:4: byte 0xfe is no UTF-8\n  expected: YAML text in UTF-8\n  if the file is text, save it as UTF-8; else give elt the right file"},
		"latin 1": {"name: Stra\xdfe", "a.yaml:1:11: byte 0xdf is no UTF-8"},
		"UTF-16":  {"\xff\xfea\x00", "a.yaml:1:1: the file is UTF-16\n  expected: YAML text in UTF-8\n  convert it: iconv -f utf-16 -t utf-8 a.yaml"},
		"NUL":     {"name: a\x00b", "a.yaml:1:8: the control character 0x00"},
		"escape":  {"name: \x1b[31mred", `a.yaml:1:7: the control character 0x1b` + "\n  expected: YAML text in UTF-8\n  " + `delete it, or write it inside double quotes as "\x1b"`},
		"BOM":     {"\ufeffname: shop", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, errs := decode(c.src)
			if got := errs.Error(); !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") || len(errs) > 1 {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
