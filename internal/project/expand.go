package project

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"elt/internal/secret"
)

// references replaces ${env:NAME}, ${env:NAME:-default} and ${file:PATH}, and
// remembers what must not be shown.
type references struct {
	dir     string
	env     func(string) (string, bool)
	secrets []secret.String
	seen    map[string]bool
}

// shortest is the length from which a value that came from outside into a plain
// key is hidden: hiding "dev" or "5432" would garble every log.
const shortest = 8

// maxSecretFile bounds what ${file:…} reads; a device would never end.
const maxSecretFile = 64 << 10

func (r *references) expand(text string, hidden bool) (string, error) {
	out, err := r.replace(text, hidden)
	if err == nil && hidden {
		r.remember(out)
		// Drivers name the password alone.
		if u, perr := url.Parse(out); perr == nil && u.User != nil {
			if p, ok := u.User.Password(); ok {
				r.remember(p)
				r.remember(url.QueryEscape(p))
			}
		}
	}
	return out, err
}

func (r *references) replace(text string, hidden bool) (string, error) {
	var out strings.Builder
	var errs []string
	rest := text
	for {
		before, after, ok := strings.Cut(rest, "${")
		if !ok {
			out.WriteString(rest)
			break
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(plain + "${")
			rest = after
			continue
		}
		out.WriteString(before)
		inner, tail, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("${ without its }; write $${ for the characters themselves")
		}
		value, outside, err := r.resolve(inner)
		if err != nil {
			errs = append(errs, err.Error())
		}
		if outside && (hidden || len(value) >= shortest) {
			r.remember(value)
		}
		out.WriteString(value)
		rest = tail
	}
	if len(errs) > 0 {
		return "", errors.New(strings.Join(errs, "; "))
	}
	return out.String(), nil
}

func (r *references) remember(value string) {
	if value = strings.TrimSpace(value); value != "" && !r.seen[value] {
		if r.seen == nil {
			r.seen = map[string]bool{}
		}
		r.seen[value] = true
		r.secrets = append(r.secrets, secret.New(value))
	}
}

// resolve returns the value of a reference, and whether it came from outside
// the project's files.
func (r *references) resolve(ref string) (value string, outside bool, err error) {
	scheme, arg, _ := strings.Cut(ref, ":")
	switch scheme {
	case "env":
		name, otherwise, hasDefault := strings.Cut(arg, ":-")
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
			return "", false, fmt.Errorf("${%s} names no variable; write ${env:NAME}", ref)
		}
		value, ok := "", false
		if r.env != nil {
			value, ok = r.env(name)
		}
		switch {
		case value != "":
			return value, true, nil
		case hasDefault:
			return otherwise, false, nil
		case ok:
			return "", false, fmt.Errorf("environment variable %s is empty; set it, or write ${env:%s:-default}", name, name)
		}
		return "", false, fmt.Errorf("environment variable %s is not set; set it, pass it with --env-file, or write ${env:%s:-default}", name, name)
	case "file":
		value, err := r.file(arg)
		return value, true, err
	}
	return "", false, fmt.Errorf("unknown reference ${%s}; write ${env:NAME}, ${env:NAME:-default} or ${file:PATH}", ref)
}

func (r *references) file(path string) (string, error) {
	if strings.TrimSpace(path) == "" {
		return "", errors.New("${file:} names no file; write ${file:PATH}")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	if info, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the file of ${file:…} cannot be read: %w", err)
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s of ${file:…} is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the file of ${file:…} cannot be read: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("the file of ${file:…} cannot be read: %w", err)
	}
	if len(data) > maxSecretFile {
		return "", fmt.Errorf("%s is larger than a secret may be (%d bytes)", path, maxSecretFile)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// envFile reads NAME=value lines. What the environment has already, wins.
func envFile(path string, env func(string) (string, bool)) (func(string) (string, bool), Errors) {
	data, err := os.ReadFile(path)
	if err != nil {
		return env, Errors{{Pos: Pos{File: path, Line: 1, Col: 1}, Msg: "the file of --env-file cannot be read: " + err.Error(), Expected: "lines of NAME=value"}}
	}
	values := map[string]string{}
	var errs Errors
	for i, line := range strings.Split(string(data), "\n") {
		text := strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		text = strings.TrimSpace(strings.TrimPrefix(text, "export "))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, value, ok := strings.Cut(text, "=")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t\"'") {
			// The line is not shown: it may well be a secret.
			errs = append(errs, &Error{Pos: Pos{File: path, Line: i + 1, Col: 1}, Msg: "this line sets no variable", Expected: "NAME=value"})
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values[name] = value
	}
	return func(name string) (string, bool) {
		if env != nil {
			if v, ok := env(name); ok {
				return v, true
			}
		}
		v, ok := values[name]
		return v, ok
	}, errs
}
