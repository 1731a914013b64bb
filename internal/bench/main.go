// Command bench measures each path of elt beside the limit that it could at best
// reach, interleaved, each in a process of its own, and writes the medians into
// docs/benchmarks.md. It judges nothing: the figures are for people to read.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"elt/internal/testdb"
)

const (
	page  = "docs/benchmarks.md"
	begin = "<!-- figures begin -->"
	end   = "<!-- figures end -->"
)

// pair is a path and its limit, both names of variants.
type pair struct{ title, path, limit string }

func pairs() []pair {
	return []pair{
		{"Postgres → DuckDB, first load, beside a raw COPY to nowhere", "postgres", "postgres-limit"},
		{"CSV → DuckDB, first load", "csv", "csv-limit"},
		{"Parquet → DuckDB, first load", "parquet", "parquet-limit"},
		{"Merge of a tenth of the rows", "merge", "merge-limit"},
		{"Backfill of 30 days from CSV, beside one load of the same rows", "backfill", "backfill-limit"},
		{"Diff of a sync, nothing changed, beside the bare join", "diff", "diff-limit"},
		{"DuckDB → Postgres, first sync of a sixth of the rows, beside a bare COPY of the same in binary", "push", "push-limit"},
		{"Sync of which 1 % has changed, beside the bare join and a bare upsert", "changes", "changes-limit"},
		{"Push of 20,000 requests of 100 records over HTTP at 8 connections (2.00 s are 10,000 a second), beside bare sockets", "http", "http-limit"},
	}
}

// sample is one measured run.
type sample struct {
	Seconds float64
	rss     int64 // bytes
}

func main() {
	rows := flag.Int64("rows", 6_000_000, "rows of the table")
	rounds := flag.Int("rounds", 3, "rounds, in each of which every variant runs once")
	only := flag.String("only", "", "measure only the paths whose name matches this expression, and record nothing")
	child := flag.String("child", "", "run one variant (used by bench itself)")
	dir := flag.String("dir", "", "scratch folder (used by bench itself)")
	flag.Parse()
	var err error
	if *child != "" {
		err = runChild(context.Background(), *child, *dir, *rows)
	} else {
		err = measure(*rows, *rounds, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(rows int64, rounds int, only string) (err error) {
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	dir, err := os.MkdirTemp("", "elt-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	url, stop, err := testdb.Start()
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	defer stop()
	if err := os.Setenv(urlVariable, url); err != nil {
		return err
	}
	if _, err := spawn("prepare", dir, rows); err != nil {
		return err
	}
	got := map[string][]sample{}
	for range rounds {
		for _, p := range pairs() {
			if !match.MatchString(p.path) {
				continue
			}
			for _, v := range []string{p.path, p.limit} {
				s, err := spawn(v, dir, rows)
				if err != nil {
					return err
				}
				got[v] = append(got[v], s)
			}
		}
		if match.MatchString("version") {
			s, err := version()
			if err != nil {
				return err
			}
			got["version"] = append(got["version"], s)
		}
	}
	text := table(got, rows, rounds)
	fmt.Print(text)
	if only != "" { // the page has every path
		return nil
	}
	return record(text)
}

// spawn runs a variant in a process of its own, so that its peak memory is its own.
func spawn(variant, dir string, rows int64) (sample, error) {
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(context.Background(), self, "-child", variant, "-dir", dir, "-rows", fmt.Sprint(rows))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return sample{}, fmt.Errorf("run %s: %w", variant, err)
	}
	var s sample
	if err := json.Unmarshal(out, &s); err != nil {
		return sample{}, fmt.Errorf("read the figures of %s: %w", variant, err)
	}
	s.rss = peak(cmd.ProcessState)
	return s, nil
}

func version() (sample, error) {
	cmd := exec.CommandContext(context.Background(), filepath.Join("bin", "elt"), "version")
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("run bin/elt version (make it with `make build`): %w", err)
	}
	return sample{Seconds: time.Since(start).Seconds(), rss: peak(cmd.ProcessState)}, nil
}

// peak is the most memory that an ended process had; Linux counts in KiB.
func peak(p *os.ProcessState) int64 {
	u, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "linux" {
		return u.Maxrss << 10
	}
	return u.Maxrss
}

func median(list []sample, of func(sample) float64) float64 {
	v := make([]float64, len(list))
	for i, s := range list {
		v[i] = of(s)
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func seconds(s sample) float64 { return s.Seconds }
func mib(s sample) float64     { return float64(s.rss) / (1 << 20) }

func table(got map[string][]sample, rows int64, rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows of 16 columns, medians of %d round(s), %d CPUs; the model of the diff has %d rows.\nDuckDB's memory_limit is %s; what the peak has beyond it is elt's.\n\n",
		rows, rounds, runtime.NumCPU(), modelRows(rows), memoryLimit)
	b.WriteString("| Path | elt | limit | elt/limit | peak RSS elt | peak RSS limit |\n|---|--:|--:|--:|--:|--:|\n")
	for _, p := range pairs() {
		a, l := got[p.path], got[p.limit]
		if len(a) == 0 {
			continue
		}
		ta, tl := median(a, seconds), median(l, seconds)
		fmt.Fprintf(&b, "| %s | %.2f s | %.2f s | %.2f | %.0f MiB | %.0f MiB |\n", p.title, ta, tl, ta/tl, median(a, mib), median(l, mib))
	}
	if v := got["version"]; len(v) > 0 {
		t := 1000 * median(v, seconds)
		fmt.Fprintf(&b, "| `elt version`, whole process | %.1f ms | 30 ms | %.2f | %.0f MiB | |\n", t, t/30, median(v, mib))
	}
	return b.String()
}

// record puts text between the markers of the page, which it adds where they are missing.
func record(text string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("record the figures (run this at the root of the repository): %w", err)
	}
	head, rest, found := strings.Cut(string(old), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		head, tail = strings.ReplaceAll(string(old), "No figures are recorded yet.\n", ""), "\n"
	}
	return os.WriteFile(page, []byte(head+begin+"\n\n"+text+"\n"+end+tail), 0o644)
}
