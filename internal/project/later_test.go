package project_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestIncludeWalksFolders(t *testing.T) {
	t.Parallel()
	source := func(name string) string {
		return "sources:\n  " + name + ": {type: files, path: a, streams: {a: {}}}\n"
	}
	p, err := load(t, map[string]string{
		"elt.yaml":                "version: 1\nname: shop\ninclude: ['teams/**/*.yaml', '**/extra.yml']\n",
		"teams/top.yaml":          source("top"),
		"teams/a/b/deep.yaml":     source("deep"),
		"teams/.git/hidden.yaml":  source("hidden"),
		"other/no.yaml":           source("no"),
		"extra.yml":               source("root"),
		"teams/a/extra.yml":       source("inner"),
		".elt/cache/extra.yml":    source("cache"),
		"teams/a/b/deep.yaml.txt": source("text"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(p.Sources))
	if want := []string{"deep", "inner", "root", "top"}; !slices.Equal(got, want) {
		t.Errorf("sources %v, want %v", got, want)
	}
}

// Every key that is taken though nothing acts on it is noted, with its place.
func TestKeysThatDoNotActAreNoted(t *testing.T) {
	t.Parallel()
	p, err := load(t, map[string]string{"elt.yaml": `version: 1
name: shop
connections:
  crm: {type: file, path: out}
  mail: {type: smtp, url: x}
targets:
  dev: {warehouse: "postgres://h/d", memory: 2GB, wait_for_lock: 5m}
sources:
  web: {type: files, path: a, streams: {a: {}}}
identities:
  customer: {key: id, match: [{column: email, crm: email}]}
syncs:
  people:
    model: marts.people
    to: crm.people
    mode: mirror
    identity: customer
    fields: {name: name}
    guards: {max_delete: 5%, max_reject: 1%}
jobs:
  nightly: {schedule: "0 2 * * *", run: all, complete_by: "06:00", heartbeat: "https://x", retries: 2, timeout: 2h, catchup: all, overlap: skip, runbook: wiki}
  plain: {run: ["tag:x"]}
alerts:
  - {to: mail}
`})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range p.NotActing {
		got = append(got, strings.TrimPrefix(n.Pos.String(), "elt.yaml:")+" "+n.Msg)
		if n.Hint == "" {
			t.Errorf("%s does not say what happens instead", n.Msg)
		}
	}
	want := []string{
		`5:16 connection "mail" of type smtp cannot be opened yet`,
		`7:46 memory of target "dev" acts on DuckDB alone`,
		`7:66 wait_for_lock of target "dev" acts on DuckDB alone`,
		`11:3 identity "customer" does not act yet`,
		`17:5 identity of sync "people" does not act yet`,
		`21:126 catchup: all of job "nightly" does not act yet`,
		`24:5 alerts to type "smtp" are not sent yet`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("noted:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The keys that find what is new in a database do nothing for files.
func TestKeysOfFilesThatDoNotMergeAreNoted(t *testing.T) {
	t.Parallel()
	p, err := load(t, map[string]string{"elt.yaml": `version: 1
name: shop
sources:
  web:
    type: files
    path: a
    streams:
      a: {key: id, cursor: u, null_cursor: exclude}
      b: {load: merge, key: id, cursor: u, null_cursor: exclude}
      c: {load: replace, key: id}
      d: {load: append, key: id}
`})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range p.NotActing {
		got = append(got, strings.TrimPrefix(n.Pos.String(), "elt.yaml:")+" "+n.Msg)
	}
	const why = " does not act: it reads files, and does not merge"
	want := []string{`8:16 key of stream "a"` + why, `8:28 cursor of stream "a"` + why, `8:44 null_cursor of stream "a"` + why, `11:30 key of stream "d"` + why}
	if !slices.Equal(got, want) {
		t.Errorf("noted:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A guard that would be misread is refused: a number of rows is no share, and a
// share of nothing would be no guard.
func TestMaxRejectIsAShare(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"100", "0%"} {
		_, err := load(t, map[string]string{"elt.yaml": `version: 1
name: shop
connections: {crm: {type: file, path: out}}
sources: {web: {type: files, path: a, streams: {a: {}}}}
syncs:
  people: {model: marts.people, to: crm.people, key: id, fields: {name: name}, guards: {max_reject: ` + value + `}}
`})
		if err == nil || !strings.Contains(err.Error(), `max_reject is "`+value+`"`) || !strings.Contains(err.Error(), "expected: a share of the rows sent") {
			t.Errorf("%v", err)
		}
	}
}
