package project_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "github.com/goccy/go-yaml"

	"elt/internal/project"
)

// fits holds v against the parts of JSON Schema that Schema uses.
func fits(s map[string]any, v any, at string) error {
	if err := fitsScalar(s, v, at); err != nil {
		return err
	}
	if list, ok := s["anyOf"].([]any); ok {
		var why []string
		for _, one := range list {
			err := fits(one.(map[string]any), v, at)
			if err == nil {
				why = nil
				break
			}
			why = append(why, err.Error())
		}
		if why != nil {
			return fmt.Errorf("%s: none of: %s", at, strings.Join(why, " | "))
		}
	}
	switch v := v.(type) {
	case []any:
		items, ok := s["items"].(map[string]any)
		for i, item := range v {
			if err := fits(items, item, fmt.Sprintf("%s[%d]", at, i)); ok && err != nil {
				return err
			}
		}
	case map[string]any:
		return fitsObject(s, v, at)
	}
	return nil
}

func fitsScalar(s map[string]any, v any, at string) error {
	if want, ok := s["type"].(string); ok && !slices.Contains(typesOf(v), want) {
		return fmt.Errorf("%s is %v, want %s", at, typesOf(v), want)
	}
	if list, ok := s["enum"].([]any); ok && !slices.Contains(list, v) {
		return fmt.Errorf("%s is %v, want %v", at, v, list)
	}
	if text, ok := v.(string); ok && s["pattern"] != nil && !regexp.MustCompile(s["pattern"].(string)).MatchString(text) {
		return fmt.Errorf("%s is %q, want %v", at, text, s["pattern"])
	}
	return nil
}

func fitsObject(s map[string]any, v map[string]any, at string) error {
	props, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, r := range required {
		if _, ok := v[r.(string)]; !ok {
			return fmt.Errorf("%s lacks %s", at, r)
		}
	}
	for key, val := range v {
		sub, ok := props[key].(map[string]any)
		if !ok {
			switch more := s["additionalProperties"].(type) {
			case bool:
				if !more {
					return fmt.Errorf("%s has the unknown key %s", at, key)
				}
				continue
			case map[string]any:
				sub = more
			default:
				continue
			}
		}
		if err := fits(sub, val, at+"."+key); err != nil {
			return err
		}
	}
	return nil
}

func typesOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return []string{"null"}
	case bool:
		return []string{"boolean"}
	case string:
		return []string{"string"}
	case float64:
		if v == float64(int64(v)) {
			return []string{"number", "integer"}
		}
		return []string{"number"}
	case []any:
		return []string{"array"}
	case map[string]any:
		return []string{"object"}
	}
	return nil
}

func instance(t *testing.T, file string) any {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSON(src)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

func TestSchemaTakesWhatLoadTakes(t *testing.T) {
	t.Parallel()
	raw, err := project.Schema(kinds())
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	good, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(good) == 0 {
		t.Fatal(err)
	}
	for _, file := range good {
		if err := fits(schema, instance(t, file), filepath.Base(file)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"unknown_top_key", "connection_unknown_key", "connection_missing_url", "connection_unknown_type", "target_push_bad", "target_without_warehouse",
		"stream_unknown_key", "stream_load_bad", "stream_lookback_bad", "stream_contract_word_bad", "source_missing_path", "source_nested_unknown_key",
		"check_unknown", "check_severity_bad", "sync_without_model", "sync_mode_bad", "sync_field_key_bad", "sync_guard_unknown",
		"identity_on_several_bad", "identity_without_match", "job_overlap_bad", "job_unknown_key", "alert_without_to",
	} {
		if err := fits(schema, instance(t, "testdata/bad/"+name+".yaml"), name); err == nil {
			t.Errorf("the schema takes %s", name)
		}
	}
	if n := strings.Count(string(raw), `"description"`); n < 60 {
		t.Errorf("only %d descriptions", n)
	}
}

func TestSchemaWithoutKinds(t *testing.T) {
	t.Parallel()
	if _, err := project.Schema(nil); err != nil {
		t.Fatal(err)
	}
}
