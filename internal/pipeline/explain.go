package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/activate"
	"elt/internal/lineage"
	"elt/internal/project"
	"elt/internal/rows"
	"elt/internal/sqlparse"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// Explained is what is known of one key of a sync, and which rows of sources have it.
type Explained struct {
	activate.Explanation
	Held    string // why the sync is held; "" when it is not
	Sources []SourceRows
	Lost    []string // tables that the model reads and the key does not lead to
}

// SourceRows are the rows of one load of a source that have the key.
type SourceRows struct {
	Table    string    `json:"table"`
	Column   string    `json:"column"` // that has the value of the key
	Rows     int64     `json:"rows"`
	LoadID   string    `json:"load"`
	LoadedAt time.Time `json:"loaded_at"`
	RunID    string    `json:"run,omitempty"` // that loaded them; "" when its record has been pruned
}

// Explain tells what was sent for a key, what stands now, and which rows of the
// sources have the key. A key is a plain value where it is one column, else a JSON
// object or a=1,b=2; columns go by our names or theirs.
func (p *Pipeline) Explain(ctx context.Context, s *project.Sync, key string, limit int) (Explained, error) {
	var x Explained
	sync, err := p.activation(s)
	if err != nil {
		return x, err
	}
	values, err := keyValues(sync, key)
	if err != nil {
		return x, err
	}
	if x.Explanation, err = activate.Explain(ctx, p.DB, p.Store, sync, values, limit); err != nil {
		return x, err
	}
	holds, err := p.Holds(ctx, "")
	if err != nil {
		return x, err
	}
	if i := slices.IndexFunc(holds, func(h state.Hold) bool { return h.Sync == s.Name }); i >= 0 {
		x.Held = holds[i].Reason
	}
	err = p.sourceRows(ctx, s, sync, values, &x)
	return x, err
}

// Resolve settles by hand the outcomes of keys that are not known, of all such keys
// where none is named, and returns the keys. All are settled, or none is.
func (p *Pipeline) Resolve(ctx context.Context, s *project.Sync, keys []string, sent bool) ([]activate.Resolved, error) {
	sync, err := p.activation(s)
	if err != nil {
		return nil, err
	}
	list := make([][]string, len(keys))
	for i, key := range keys {
		if list[i], err = keyValues(sync, key); err != nil {
			return nil, err
		}
	}
	return activate.Resolve(ctx, p.DB, p.Store, sync, list, sent)
}

// ErrKey means that a text does not name a key.
var ErrKey = errors.New("the key cannot be read")

// keyValues are the values of a key in the order of its columns.
func keyValues(sync activate.Sync, text string) ([]string, error) {
	given := map[string]string{}
	switch {
	case strings.HasPrefix(text, "{"):
		var object map[string]any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&object); err != nil {
			return nil, fmt.Errorf("%w: %q is no JSON object: %w", ErrKey, text, err)
		}
		for name, v := range object {
			given[name] = fmt.Sprint(v)
		}
	case len(sync.Key) == 1 && !strings.HasPrefix(text, sync.Key[0]+"="):
		return []string{text}, nil
	default:
		for _, pair := range strings.Split(text, ",") {
			name, v, _ := strings.Cut(pair, "=")
			given[strings.TrimSpace(name)] = v
		}
	}
	theirs := sync.DestKey()
	values := make([]string, len(sync.Key))
	for i, column := range sync.Key {
		v, ok := given[column]
		if !ok {
			v, ok = given[theirs[i]]
		}
		if !ok || len(given) != len(sync.Key) {
			return nil, fmt.Errorf("%w: %q, expected the columns %s, as a JSON object or as %s=…", ErrKey, text,
				strings.Join(sync.Key, ", "), strings.Join(sync.Key, "=…,"))
		}
		values[i] = v
	}
	return values, nil
}

// sourceRows finds the rows of sources that have the key, where the columns of the
// model lead to them.
func (p *Pipeline) sourceRows(ctx context.Context, s *project.Sync, sync activate.Sync, values []string, x *Explained) error {
	f, err := p.follower(ctx)
	if err != nil {
		return err
	}
	reached := map[string]bool{}
	for i, column := range sync.Key {
		found, _ := f.Origins(s.Model, column)
		for _, o := range found {
			reached[o.Table] = true
			more, err := p.loadsOf(ctx, o, values[i])
			if err != nil {
				return err
			}
			x.Sources = append(x.Sources, more...)
		}
	}
	for _, table := range p.upstream(s.Model, map[string]bool{}) {
		if !reached[strings.ToLower(table)] {
			x.Lost = append(x.Lost, table)
		}
	}
	slices.Sort(x.Lost)
	return nil
}

// upstream are the streams that a model reads, itself or through others.
func (p *Pipeline) upstream(table string, seen map[string]bool) []string {
	if seen[table] {
		return nil
	}
	seen[table] = true
	if p.Graph.Model(table) == nil {
		return []string{table}
	}
	var list []string
	for _, need := range p.Graph.Needs(table) {
		list = append(list, p.upstream(need, seen)...)
	}
	return list
}

// follower follows columns through the models, by the columns that the tables have now.
func (p *Pipeline) follower(ctx context.Context) (lineage.Follower, error) {
	f := lineage.Follower{Models: map[string]sqlparse.Flow{}}
	has := map[string]bool{}
	var tables []string
	for _, m := range p.Graph.Models {
		f.Models[strings.ToLower(m.FullName())] = m.Flow()
		tables = append(tables, m.FullName())
	}
	for _, src := range p.Project.Sources {
		for _, st := range src.Streams {
			tables = append(tables, src.Name+"."+st.Name)
		}
	}
	for _, table := range tables {
		schema, name, _ := strings.Cut(table, ".")
		columns, err := p.columns(ctx, p.place(schema, name))
		if err != nil {
			return f, err
		}
		for _, c := range columns {
			has[strings.ToLower(table+"\x00"+c.Name)] = true
		}
	}
	f.Has = func(table, column string) bool { return has[table+"\x00"+column] }
	return f, nil
}

// loadsOf are the rows whose column has a value, by the load that they came with,
// the last one first. Both sides are compared as texts: a model may change the type
// of a key.
func (p *Pipeline) loadsOf(ctx context.Context, o lineage.Origin, value string) ([]SourceRows, error) {
	schema, name, _ := strings.Cut(o.Table, ".")
	table := p.place(schema, name)
	columns, err := p.columns(ctx, table)
	if err != nil {
		return nil, err
	}
	column := ""
	loaded := false
	for _, c := range columns {
		if strings.EqualFold(c.Name, o.Column) {
			column = c.Name
		}
		loaded = loaded || c.Name == "_elt_load_id"
	}
	if column == "" || !loaded { // a table that something else fills
		return nil, nil
	}
	var list []SourceRows
	err = warehouse.Each(ctx, p.DB, `SELECT t._elt_load_id, max(t._elt_loaded_at), count(*), max(l.run_id) FROM `+table.String()+` AS t
		LEFT JOIN (SELECT id, run_id FROM _elt.load WHERE project = $1 AND target = $2) AS l ON l.id = t._elt_load_id
		WHERE CAST(t.`+warehouse.Quote(column)+` AS text) = $3 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10`, func(r rows.Row) error {
		list = append(list, SourceRows{Table: o.Table, Column: column, LoadID: strings.Clone(r.String(0)), LoadedAt: r.Time(1),
			Rows: r.Int(2), RunID: strings.Clone(r.String(3))})
		return nil
	}, p.Store.Project(), p.Store.Target(), value)
	if err != nil {
		return nil, fmt.Errorf("look for the key in %s: %w", o.Table, err)
	}
	return list, nil
}
