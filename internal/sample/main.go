// Command sample makes the data of the sample shop: 90 days up to its as_of, the
// same bytes on every run, with what real data has: late rows, updated rows, a
// duplicate, a customer who changed the e-mail address, a broken row, time zones.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sample DIR")
		os.Exit(2)
	}
	if err := write(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		os.Exit(1)
	}
}

// write makes every file of the shop below dir.
func write(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "events"), 0o755); err != nil {
		return err
	}
	s := newShop()
	files := s.csvFiles()
	for name, lines := range s.events() {
		data, err := gzipped(lines)
		if err != nil {
			return err
		}
		files[filepath.Join("events", name)] = data
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return s.parquet(ctx, filepath.Join(dir, "products.parquet"))
}

func gzipped(lines []string) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

type customer struct {
	id                 int
	name, email        string
	country, plan      string
	created, changed   time.Time
	weight             float64 // how often it buys
	stopped            time.Time
	leftWithoutGoodbye bool
}

type shop struct {
	rng       *rand.Rand
	zone      *time.Location
	from, end time.Time
	customers []customer
	products  []product
}

type product struct {
	sku, title, category string
	cents                int
}

func newShop() *shop {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err) // the zone data is linked into Go's tests and every system that runs elt
	}
	s := &shop{rng: rand.New(rand.NewPCG(20260331, 90)), zone: zone}
	s.end = time.Date(2026, 3, 31, 0, 0, 0, 0, zone)
	s.from = s.end.AddDate(0, 0, -90)
	s.makeProducts()
	s.makeCustomers()
	return s
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

func (s *shop) makeProducts() {
	for i := range 64 {
		category := pick(s.rng, "coffee", "tea", "mugs", "grinders", "subscriptions")
		s.products = append(s.products, product{
			sku: fmt.Sprintf("SKU-%04d", 1000+i), category: category,
			title: pick(s.rng, "Morning", "Harbour", "Slow", "Bright", "Quiet", "Café") + " " + strings.TrimSuffix(category, "s") + fmt.Sprintf(" No. %d", i+1),
			cents: 490 + s.rng.IntN(60)*100 + pick(s.rng, 0, 50, 90),
		})
	}
}

func (s *shop) makeCustomers() {
	first := []string{"Anna", "Björn", "Chloé", "Dmitri", "Elif", "Fatima", "Gerd", "Hana", "Íñigo", "Jürgen", "Katarzyna", "Léa", "Mehmet", "Noor", "O'Brien", "Paul"}
	last := []string{"Schmidt", "Müller", "Dubois", "Rossi", "Kowalski", "Jensen", "García", "Novák", "de Vries", "Öztürk"}
	for i := range 900 {
		created := s.from.Add(time.Duration(s.rng.IntN(75*24))*time.Hour).AddDate(0, 0, -s.rng.IntN(3)*40)
		c := customer{id: 1000 + i, name: pick(s.rng, first...) + " " + pick(s.rng, last...), created: created, changed: created,
			country: pick(s.rng, "DE", "DE", "DE", "AT", "CH", "FR", "PL"), plan: pick(s.rng, "free", "free", "basic", "pro"), weight: 0.2 + s.rng.ExpFloat64()}
		c.email = fmt.Sprintf("%s.%d@example.com", strings.ToLower(strings.NewReplacer(" ", ".", "'", "", "ü", "ue", "ö", "oe", "é", "e", "Í", "i", "ñ", "n", "Ö", "oe", "á", "a", "í", "i").Replace(c.name)), c.id)
		c.leftWithoutGoodbye = s.rng.IntN(6) == 0
		c.stopped = s.end
		if c.leftWithoutGoodbye {
			c.stopped = s.from.AddDate(0, 0, 10+s.rng.IntN(60))
		}
		s.customers = append(s.customers, c)
	}
}

// csvFiles are the shop's monthly exports: what was new or changed in the month.
func (s *shop) csvFiles() map[string][]byte {
	out := map[string][]byte{}
	months := []string{"2026-01", "2026-02", "2026-03"}
	people := map[string]*bytes.Buffer{}
	orders := map[string]*bytes.Buffer{}
	for _, m := range months {
		people[m] = bytes.NewBufferString("id,name,email,country,plan,created_at,updated_at\n")
		orders[m] = bytes.NewBufferString("id,customer_id,sku,quantity,amount,currency,status,ordered_at,updated_at\n")
	}
	s.writeCustomers(people)
	s.writeOrders(orders)
	for _, m := range months {
		out["customers-"+m+".csv"] = people[m].Bytes()
		out["orders-"+m+".csv"] = orders[m].Bytes()
	}
	return out
}

// month is the export that a change lands in; what is older came with the first.
func month(t time.Time) string { return max("2026-01", t.Format("2006-01")) }

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

func (s *shop) writeCustomers(to map[string]*bytes.Buffer) {
	line := func(c customer) {
		fmt.Fprintf(to[month(c.changed)], "%d,%s,%s,%s,%s,%s,%s\n", c.id, c.name, c.email, c.country, c.plan, stamp(c.created), stamp(c.changed))
	}
	for i := range s.customers {
		c := s.customers[i]
		line(c)
		if s.rng.IntN(9) == 0 { // somebody changes the plan
			c.plan, c.changed = pick(s.rng, "free", "basic", "pro"), c.changed.AddDate(0, 0, 20+s.rng.IntN(20))
			if c.changed.Before(s.end) {
				line(c)
			}
		}
	}
	// The customer who changed the e-mail address keeps the id.
	c := s.customers[42]
	c.email, c.changed = "anna.neumann@example.org", s.end.AddDate(0, 0, -12)
	line(c)
}

func (s *shop) writeOrders(to map[string]*bytes.Buffer) {
	id := 88000
	for day := s.from; day.Before(s.end); day = day.AddDate(0, 0, 1) {
		n := 34 + s.rng.IntN(12)
		if wd := day.Weekday(); wd == time.Saturday || wd == time.Sunday {
			n /= 3
		}
		for range n {
			id++
			s.order(to, id, day)
		}
	}
	// One row that breaks its contract: a decimal comma.
	fmt.Fprintf(to["2026-03"], "%d,1007,SKU-1003,1,\"12,50\",EUR,paid,%s,%s\n", 88123, stamp(s.end.Add(-9*time.Hour)), stamp(s.end.Add(-9*time.Hour)))
}

func (s *shop) order(to map[string]*bytes.Buffer, id int, day time.Time) {
	if id == 88123 {
		return // the number of the broken row
	}
	c := s.customers[s.rng.IntN(len(s.customers))]
	at := day.Add(time.Duration(6*60+s.rng.IntN(17*60)) * time.Minute)
	if at.Before(c.created) || at.After(c.stopped) || s.rng.Float64() > c.weight*1.4 {
		c = s.customers[s.rng.IntN(40)] // the regulars
	}
	p := pick(s.rng, s.products...)
	quantity := 1 + s.rng.IntN(3)
	line := func(status string, changed time.Time) string {
		return fmt.Sprintf("%d,%d,%s,%d,%d.%02d,EUR,%s,%s,%s\n", id, c.id, p.sku, quantity, p.cents*quantity/100, p.cents*quantity%100, status, stamp(at), stamp(changed))
	}
	arrives := at
	if s.rng.IntN(150) == 0 { // a late row: a terminal that was offline for days
		arrives = at.AddDate(0, 0, 3+s.rng.IntN(5))
	}
	status := pick(s.rng, "paid", "paid", "paid", "paid", "paid", "paid", "pending", "cancelled")
	if !arrives.Before(s.end) {
		return
	}
	to[month(arrives)].WriteString(line(status, arrives))
	if id == 88777 { // the export wrote this row twice
		to[month(arrives)].WriteString(line(status, arrives))
	}
	if changed := arrives.Add(time.Duration(2+s.rng.IntN(70)) * time.Hour); status == "pending" && changed.Before(s.end) {
		to[month(changed)].WriteString(line(pick(s.rng, "paid", "paid", "cancelled"), changed))
	}
}

// events are the web events, a file a week, one JSON object a line.
func (s *shop) events() map[string][]string {
	out := map[string][]string{}
	n := 0
	for day := s.from; day.Before(s.end); day = day.AddDate(0, 0, 1) {
		year, week := day.ISOWeek()
		name := fmt.Sprintf("%d-w%02d.jsonl.gz", year, week)
		for range 50 + s.rng.IntN(20) {
			n++
			at := day.Add(time.Duration(s.rng.IntN(24*3600)) * time.Second)
			e := map[string]any{"event_id": fmt.Sprintf("ev-%06d", n), "name": pick(s.rng, "page_view", "page_view", "page_view", "add_to_cart", "checkout"),
				"occurred_at": stamp(at.UTC()), "path": "/" + pick(s.rng, s.products...).category, "device": pick(s.rng, "phone", "desktop", "tablet")}
			if s.rng.IntN(3) > 0 {
				e["customer_id"] = s.customers[s.rng.IntN(len(s.customers))].id
			}
			line, err := json.Marshal(e)
			if err != nil {
				panic(err) // strings and integers
			}
			out[name] = append(out[name], string(line))
		}
	}
	return out
}

// parquet writes the catalogue.
func (s *shop) parquet(ctx context.Context, path string) (err error) {
	db, err := sql.Open("duckdb", "?threads=1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `CREATE TABLE p (sku VARCHAR, title VARCHAR, category VARCHAR, price DECIMAL(10,2), since DATE)`); err != nil {
		return err
	}
	for i, p := range s.products {
		price := fmt.Sprintf("%d.%02d", p.cents/100, p.cents%100)
		since := s.from.AddDate(-1, 0, i).Format(time.DateOnly)
		if _, err := db.ExecContext(ctx, `INSERT INTO p VALUES ($1, $2, $3, $4::DECIMAL(10,2), $5::DATE)`, p.sku, p.title, p.category, price, since); err != nil {
			return err
		}
	}
	_, err = db.ExecContext(ctx, `COPY (SELECT * FROM p ORDER BY sku) TO '`+strings.ReplaceAll(path, `'`, `''`)+`' (FORMAT parquet)`)
	return err
}
