package main

import (
	"fmt"
	"strings"
	"testing"
)

// A mirror into a table of PostgreSQL: what cannot work is told with what to type,
// bad rows hold no good ones back, and rows of others stay.
func TestPushToPostgres(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			p := &pushed{sourced: newSourced(t, engine, "version: 1\nname: push\ntargets: {dev: {warehouse: \"${env:WAREHOUSE}\", push: live}}\n"+
				"connections:\n  shop_db: {type: postgres, url: \"${env:SOURCE_URL}\"}\n"+
				"sources:\n  raw: {type: files, path: \"data/{stream}.csv\", streams: {people: {load: replace, key: id}}}\n"+
				"syncs:\n  people: {model: marts.people, to: shop_db.crm.people, mode: mirror, key: id, fields: {id: id, name: name}}\n")}
			p.write("models/marts/people.sql", "select id, name from raw.people")
			p.people("1,Ada\n2,Bob\n3,Cid\n4,Bartholomew\n")
			p.exec(`CREATE SCHEMA crm`)
			p.tells(1, "there is no table crm.people")
			p.exec(`CREATE TABLE crm.people (id bigint, name varchar(5), seen boolean DEFAULT true)`)
			p.tells(1, "has no unique index on id", `CREATE UNIQUE INDEX ON "crm"."people" ("id")`)
			p.exec(`CREATE UNIQUE INDEX ON crm.people (id)`)
			p.exec(`INSERT INTO crm.people VALUES (2, 'old', false), (99, 'other', false)`)
			p.tells(0, "0 unchanged  3 acked  2 new  1 rejected", "column name: value too long for type character varying(5)")
			p.has("1 Ada true, 2 Bob false, 3 Cid true, 99 other false")
			p.people("1,Ada\n3,Zoe\n4,Bart\n")
			p.tells(0, "1 unchanged  2 acked  1 new  1 deleted")
			p.has("1 Ada true, 3 Zoe true, 4 Bart true, 99 other false")
			p.tells(0, "3 unchanged  0 acked")
		})
	}
}

// has wants these rows in the destination.
func (p *pushed) has(want string) {
	p.t.Helper()
	rows, err := p.conn.Query(p.t.Context(), `SELECT id::text, name, seen FROM crm.people ORDER BY people.id`)
	if err != nil {
		p.t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			p.t.Fatal(err)
		}
		got = append(got, strings.Trim(fmt.Sprint(values), "[]"))
	}
	if err := rows.Err(); err != nil {
		p.t.Fatal(err)
	}
	if text := strings.Join(got, ", "); text != want {
		p.t.Errorf("the table has %s, want %s", text, want)
	}
}

// Keys that are two in the model and one in the type of the table's column: the row
// is deleted when neither is left, and not before.
func TestAMirrorIntoPostgresKeepsTheRowOfAKeyThatMoved(t *testing.T) {
	t.Parallel()
	p := &pushed{sourced: newSourced(t, "duckdb", "version: 1\nname: push\ntargets: {dev: {warehouse: \"${env:WAREHOUSE}\", push: live}}\n"+
		"connections:\n  shop_db: {type: postgres, url: \"${env:SOURCE_URL}\"}\n"+
		"syncs:\n  people: {model: marts.people, to: shop_db.crm.people, mode: mirror, key: id, fields: {id: id, name: name}}\n")}
	p.exec(`CREATE SCHEMA crm`)
	p.exec(`CREATE TABLE crm.people (id numeric PRIMARY KEY, name text, seen boolean DEFAULT true)`)
	model := func(values string) {
		p.write("models/marts/people.sql", "select * from (values "+values+") as t(id, name)")
	}
	model("('1', 'Ada'), ('2', 'Bob')")
	p.tells(0, "2 acked  2 new")
	model("('1.0', 'Ada'), ('2', 'Bob')")
	p.tells(0, "1 acked")
	p.has("1 Ada true, 2 Bob true")
	model("('1', 'Ada'), ('1.0', 'Ada'), ('2', 'Bob')")
	p.tells(0, "1 acked")
	model("('1', 'Ada'), ('2', 'Bob')")
	p.tells(0, "2 unchanged")
	p.has("1 Ada true, 2 Bob true")
	model("('2', 'Bob')")
	p.tells(0, "1 deleted")
	p.has("2 Bob true")
}

// How much is written at once, and how often, is said by the project.
func TestPushToPostgresTakesLimits(t *testing.T) {
	t.Parallel()
	p := &pushed{sourced: newSourced(t, "duckdb", "version: 1\nname: push\ntargets: {dev: {warehouse: \"${env:WAREHOUSE}\", push: live}}\n"+
		"connections:\n  shop_db: {type: postgres, url: \"${env:SOURCE_URL}\", rates: [1000/s], concurrency: 3}\n"+
		"syncs:\n  people: {model: marts.people, to: shop_db.crm.people, key: id, fields: {id: id, name: name}, batch: {rows: 2}}\n")}
	p.exec(`CREATE SCHEMA crm`)
	p.exec(`CREATE TABLE crm.people (id bigint PRIMARY KEY, name text, seen boolean)`)
	p.write("models/marts/people.sql", "select range as id, 'x' as name from range(7)")
	p.tells(0, "7 acked  7 new")
	var transactions int
	if err := p.conn.QueryRow(t.Context(), `SELECT count(DISTINCT xmin::text) FROM crm.people`).Scan(&transactions); err != nil || transactions != 4 {
		t.Errorf("%d transactions (%v), want 4", transactions, err)
	}
}
