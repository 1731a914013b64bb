package transform

import (
	"regexp"
	"slices"
	"strings"

	"elt/internal/yamlx"
)

// header is the YAML of a model: the comment lines under "-- elt:".
type header struct {
	yaml  []byte // the file with everything else blanked, so that places stay
	found bool
	stray yamlx.Pos // a comment that was meant as a setting but is none; zero: none
	why   string
}

// readHeader finds the header among the comment lines that a file begins with.
// A line belongs to it while it is indented deeper than elt:.
func readHeader(path, text string) header {
	start := regexp.MustCompile(`^\s*--(\s*)elt:(\s|$)`)
	lines := strings.Split(text, "\n")
	blank := make([]string, len(lines))
	h := header{}
	indent, inside, leading := 0, false, true
	for i, raw := range lines {
		line := strings.TrimRight(raw, "\r")
		rest, comment := strings.CutPrefix(strings.TrimLeft(line, " \t"), "--")
		depth := len(rest) - len(strings.TrimLeft(rest, " "))
		leading = leading && (comment || strings.TrimSpace(line) == "")
		begins := start.MatchString(line)
		switch {
		case begins && (!leading || h.found):
			h.stray = yamlx.Pos{File: path, Line: i + 1, Col: 1}
			h.why = "-- elt: must stand once, before the query"
		case begins:
			h.found, inside, indent = true, true, depth
			blank[i] = uncomment(line)
		case inside && comment && (depth > indent || strings.TrimSpace(rest) == ""):
			blank[i] = uncomment(line)
		case inside && comment && isSetting(rest) && h.stray.Line == 0:
			h.stray = yamlx.Pos{File: path, Line: i + 1, Col: 1 + strings.Index(line, "--") + 2 + depth}
			h.why = "this setting is not indented under elt:"
			inside = false
		default:
			inside = false
		}
	}
	h.yaml = []byte(strings.Join(blank, "\n"))
	return h
}

// uncomment blanks the two dashes.
func uncomment(line string) string { return strings.Replace(line, "--", "  ", 1) }

// isSetting reports whether a comment reads like a setting.
func isSetting(comment string) bool {
	key, _, ok := strings.Cut(strings.TrimSpace(comment), ":")
	return ok && slices.Contains([]string{"description", "materialized", "time", "lookback", "key", "checks", "tags", "owner",
		"decision_window", "on_empty"}, key)
}

// settings decodes the header of a .sql file, or the YAML file beside it.
func settings(path, text, besidePath string, beside []byte) (Settings, yamlx.Pos, yamlx.Errors) {
	h := readHeader(path, text)
	pos := yamlx.Pos{File: path, Line: 1, Col: 1}
	var s Settings
	switch {
	case h.stray.Line > 0:
		return s, pos, yamlx.Errors{{Pos: h.stray, Msg: h.why, Hint: "write -- elt: and under it --   key: value"}}
	case h.found && beside != nil:
		return s, pos, yamlx.Errors{{Pos: pos, Msg: "settings stand both here and in " + besidePath, Expected: "one of the two",
			Hint: "move them into the -- elt: header and delete " + besidePath}}
	case beside != nil:
		return decodeSettings(besidePath, beside, nil)
	case h.found:
		return decodeSettings(path, h.yaml, []byte(text))
	}
	return s, pos, nil
}

// decodeSettings decodes a file of settings; with shown, those under the key elt
// of a .sql file.
func decodeSettings(path string, src, shown []byte) (Settings, yamlx.Pos, yamlx.Errors) {
	var s Settings
	f, errs := yamlx.Parse(path, src, shown)
	pos := yamlx.Pos{File: path, Line: 1, Col: 1}
	if f.Root == nil || len(errs) > 0 {
		return s, pos, errs
	}
	d := &yamlx.Decoder{File: f, Errs: &errs}
	if shown == nil {
		d.Struct(f.Root, &s)
	} else {
		var whole struct {
			Elt *Settings `yaml:"elt"`
		}
		if e := d.Struct(f.Root, &whole).Get("elt"); e != nil {
			pos = e.Pos
		}
		if whole.Elt != nil {
			s = *whole.Elt
		}
	}
	if len(errs) == 0 {
		errs = append(errs, s.mistakes(f, pos)...)
	}
	return s, pos, errs
}

// mistakes are settings that do not fit together.
func (s *Settings) mistakes(f *yamlx.File, pos yamlx.Pos) yamlx.Errors {
	var errs yamlx.Errors
	fail := func(bad bool, msg, expected string) {
		if bad {
			errs = append(errs, f.Error(pos, msg, expected, ""))
		}
	}
	incremental := s.Materialized == Incremental
	fail(incremental && s.Time == "" && len(s.Key) == 0, "an incremental model needs time or key",
		"time: COLUMN, to replace whole days, or key: COLUMN, to replace rows")
	fail(s.Lookback > 0 && (!incremental || s.Time == ""), "lookback without materialized: incremental and time",
		"lookback says how many days before the newest are built again")
	fail(s.OnEmpty != "" && s.Materialized == View, "on_empty has no meaning for a view", "materialized: table or incremental")
	return errs
}
