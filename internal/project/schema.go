package project

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/invopop/jsonschema"

	"elt/internal/secret"
	"elt/internal/yamlx"
)

// Schema returns the JSON Schema of a project's files, made from the types that
// they are decoded into, the kinds' own keys included.
func Schema(list []Kind) ([]byte, error) {
	m := maker{kinds: kindsByName(list)}
	root := m.of(fileKeys{})
	root.Version = jsonschema.Version
	root.Title = "A project of elt"
	root.Required = nil // an included file has neither version nor name
	m.put(root, "connections", "Named places with their credentials, which sources, syncs and alerts refer to", m.named(m.connections()...))
	m.put(root, "targets", "Where a run works: dev unless --target or ELT_TARGET says otherwise", m.named(m.of(targetKeys{})))
	m.put(root, "sources", "Systems and what is read from them", m.named(m.sources()...))
	m.put(root, "identities", "How an entity of ours is found in each destination; does not act yet", m.named(m.identity()))
	m.put(root, "syncs", "Models that are pushed to destinations", m.named(m.syncs()...))
	m.put(root, "jobs", "Selections with a schedule", m.named(m.of(jobKeys{})))
	m.put(root, "alerts", "Who is told of what, once per change of state: one entry for each connection; sent where push is live", list1(m.of(alertKeys{})))
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(out, '\n'), nil
}

// SchemaOf returns the JSON Schema of one decoded struct with jsonschema tags,
// such as the header of a model, spelled as Schema spells those of a project.
func SchemaOf(keys any) ([]byte, error) {
	out, err := json.Marshal(maker{}.of(keys))
	if err != nil {
		return nil, fmt.Errorf("write the schema of %T: %w", keys, err)
	}
	return out, nil
}

// maker makes schemas of decoded types.
type maker struct{ kinds kinds }

// of merges the schemas of the structs that one mapping is decoded into; a nil
// is skipped.
func (m maker) of(structs ...any) *jsonschema.Schema {
	var out *jsonschema.Schema
	for _, s := range structs {
		if s == nil {
			continue
		}
		r := jsonschema.Reflector{
			FieldNameTag: "yaml", Anonymous: true, DoNotReference: true, ExpandedStruct: true, RequiredFromJSONSchemaTags: true, Mapper: mapped,
		}
		one := r.Reflect(s)
		one.Version = ""
		for key := range laterKeys(s) {
			if p, ok := one.Properties.Get(key); ok {
				p.Description += ". Does not act yet"
			}
		}
		if out == nil {
			out = one
			continue
		}
		for p := one.Properties.Oldest(); p != nil; p = p.Next() {
			if _, have := out.Properties.Get(p.Key); !have {
				out.Properties.Set(p.Key, p.Value)
			}
		}
		out.Required = append(out.Required, one.Required...)
	}
	return out
}

// mapped are the types whose YAML differs from their Go type.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[secret.String]():
		return &jsonschema.Schema{Type: "string", Title: "secret text"}
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Title: "duration", Pattern: `^([0-9]+[dw]|([0-9.]+(h|m|s|ms|us|ns))+|\$\{.*\})$`}
	case reflect.TypeFor[[]string]():
		s := orList(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}}})
		s.Title = "text or list"
		return s
	case reflect.TypeFor[Limit]():
		return limitSchema()
	case reflect.TypeFor[yamlx.Scalar]():
		return scalarSchema()
	case reflect.TypeFor[yamlx.Checks]():
		return orList(checkSchema())
	case reflect.TypeFor[map[string]string]():
		return &jsonschema.Schema{Type: "object", AdditionalProperties: scalarSchema()}
	case reflect.TypeFor[section]():
		return &jsonschema.Schema{}
	case reflect.TypeFor[contractKeys]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			enum("evolve", "freeze", "quarantine", "discard"), maker{}.of(plainContract{}),
		}}
	}
	return nil
}

func enum(words ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, w := range words {
		s.Enum = append(s.Enum, w)
	}
	return s
}

func scalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Title: "value", AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
}

// shareSchema is a share of rows; a number of them is none.
func shareSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Title: "share", Type: "string", Pattern: `^[0-9.]+ ?%$`}
}

func limitSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Title: "share or number", AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `^[0-9._]+ ?%?$`}, {Type: "integer", Minimum: "0"}}}
}

func list1(item *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: item}
}

// orList is one item, or a list of them.
func orList(item *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{item, list1(item)}}
}

func described(description string, s *jsonschema.Schema) *jsonschema.Schema {
	s.Description = description
	return s
}

func (m maker) put(s *jsonschema.Schema, key, description string, value *jsonschema.Schema) {
	s.Properties.Set(key, described(description, value))
}

// named is a mapping from names to one of the given.
func (m maker) named(values ...*jsonschema.Schema) *jsonschema.Schema {
	value := values[0]
	if len(values) > 1 {
		value = &jsonschema.Schema{AnyOf: values}
	}
	return &jsonschema.Schema{Type: "object", PropertyNames: &jsonschema.Schema{Pattern: namePattern}, AdditionalProperties: value}
}

// typed is a mapping whose type is one of the given.
func typed(s *jsonschema.Schema, types ...string) *jsonschema.Schema {
	if t, ok := s.Properties.Get("type"); ok {
		for _, name := range types {
			t.Enum = append(t.Enum, name)
		}
	}
	if !slices.Contains(s.Required, "type") {
		s.Required = append(s.Required, "type")
	}
	return s
}

// laterTitle marks the types that a project may name, though this program cannot
// open them yet; the reference tells them apart by it.
const laterTitle = "later"

// titled names the form that a mapping has among several.
func titled(title string, s *jsonschema.Schema) *jsonschema.Schema {
	s.Title = title
	return s
}

func (m maker) connections() []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, name := range m.kinds.connectable() {
		out = append(out, titled(name, typed(m.of(connectionKeys{}, m.kinds[name].connection()), name)))
	}
	later := typed(m.of(connectionKeys{}), m.kinds.names(func(k kind) bool { return k.later })...)
	later.AdditionalProperties = nil // keys that a later program will know
	return append(out, titled(laterTitle, later))
}

func (m maker) sources() []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, name := range m.kinds.readable() {
		k := m.kinds[name]
		streams := &jsonschema.Schema{Type: "object", Description: "What is read, by name; a name alone takes the defaults",
			AdditionalProperties: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{titled(name, m.of(streamKeys{}, fresh(k.stream))), {Type: "null"}}}}
		inline := typed(m.of(sourceKeys{}, fresh(k.source), fresh(k.inline)), name)
		inline.Properties.Delete("connection")
		inline.Properties.Set("streams", streams)
		out = append(out, titled(name, inline))
		if k.connection != nil {
			linked := m.of(sourceKeys{}, fresh(k.source))
			linked.Properties.Delete("type")
			linked.Properties.Set("streams", streams)
			linked.Required = append(linked.Required, "connection")
			out = append(out, titled(name, linked))
		}
	}
	if len(out) == 0 {
		out = append(out, m.of(sourceKeys{}))
	}
	return out
}

func (m maker) syncs() []*jsonschema.Schema {
	field := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, m.of(fieldKeys{})}}
	limits := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
	for _, g := range slices.Sorted(maps.Keys(guards())) {
		limit := limitSchema()
		switch g {
		case "max_reject":
			limit = shareSchema()
		case emptyGuard:
			limit = &jsonschema.Schema{Type: "string", Enum: []any{"hold", "delete"}, Default: "hold"}
		}
		m.put(limits, g, guards()[g], limit)
	}
	complete := func(s *jsonschema.Schema) *jsonschema.Schema {
		m.put(s, "fields", "What is pushed: the field of the destination and the column of the model that fills it, as theirs: ours", &jsonschema.Schema{Type: "object", AdditionalProperties: field})
		m.put(s, "guards", "Limits of one run, as a share such as 5% or a number of rows; over them it is held back or fails", limits)
		s.Required = append(s.Required, "fields")
		return s
	}
	out := []*jsonschema.Schema{complete(m.of(syncKeys{}))}
	for _, name := range m.kinds.writable() {
		if k := m.kinds[name]; k.sync != nil {
			out = append(out, titled(name, complete(m.of(syncKeys{}, k.sync()))))
		}
	}
	return out
}

func (m maker) identity() *jsonschema.Schema {
	rule := m.of(matchKeys{})
	rule.AdditionalProperties = &jsonschema.Schema{Type: "string", Description: "Their field, under the name of their connection"}
	s := m.of(identityKeys{})
	m.put(s, "match", "Rules that pair our column with theirs, in order", orList(rule))
	s.Required = append(s.Required, "match")
	return s
}

func checkSchema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
	text := func(description string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: description}
	}
	object := func(description string, required []string, keys map[string]*jsonschema.Schema) *jsonschema.Schema {
		o := &jsonschema.Schema{Type: "object", Description: description, Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema, Required: required}
		for _, k := range []string{"column", "values", "to", "min", "max"} {
			if v := keys[k]; v != nil {
				o.Properties.Set(k, v)
			}
		}
		return o
	}
	columns := func(description string) *jsonschema.Schema {
		return described(description, titled("text or list", orList(&jsonschema.Schema{Type: "string"})))
	}
	s.Properties.Set("not_null", columns("Columns that are never NULL"))
	s.Properties.Set("unique", columns("Columns whose values together stand once"))
	s.Properties.Set("accepted_values", object("A column has no other values than these", []string{"column", "values"}, map[string]*jsonschema.Schema{"column": text("Column that is judged"), "values": described("All values that it may have", list1(scalarSchema()))}))
	s.Properties.Set("relationships", object("Every value of a column has a row in another table", []string{"column", "to"}, map[string]*jsonschema.Schema{"column": text("Column that is judged"), "to": text("Column that has the values, as schema.table.column")}))
	s.Properties.Set("range", object("A column lies between two values, both allowed", []string{"column"}, map[string]*jsonschema.Schema{"column": text("Column that is judged"), "min": described("Least value; none by default", scalarSchema()), "max": described("Greatest value; none by default", scalarSchema())}))
	s.Properties.Set("expression", text("SQL condition that must hold for every row"))
	s.Properties.Set("sql", text("A SELECT of the rows that offend"))
	s.Properties.Set("severity", described("error by default: nothing is published and what is downstream waits; warn: it is told", enum("warn", "error")))
	s.Properties.Set("where", text("SQL condition of the rows that are judged; all by default"))
	return s
}
