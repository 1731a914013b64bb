package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fence = regexp.MustCompile("(?s)```sh\n(.*?)```")
	link  = regexp.MustCompile(`\]\(([^)#:]+)\)`)
	words = regexp.MustCompile(`"[^"]*"|\S+`)
)

// The commands that the guide shows are run, in its order, from an empty folder.
func TestGuideCommandsRun(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	dir, ran := root, 0
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		for _, line := range strings.Split(block[1], "\n") {
			line, _, _ = strings.Cut(line, "#")
			args := words.FindAllString(line, -1)
			switch {
			case len(args) == 0 || args[0] == "make" || args[0] == "export":
				continue
			case args[0] == "cd":
				dir = filepath.Join(dir, args[1])
				continue
			case filepath.Base(args[0]) != "elt":
				t.Errorf("the guide shows a command that is none of elt: %q", line)
				continue
			}
			for i := range args {
				args[i] = strings.Trim(args[i], `"`)
			}
			if args[1] == "init" { // relative to where the reader stands
				args[2] = filepath.Join(dir, args[2])
			}
			var stderr bytes.Buffer
			if code, out := elt(t, dir, "", &stderr, nil, args[1:]...); code != 0 {
				t.Fatalf("%s: exit %d\n%s\n%s", line, code, out, &stderr)
			}
			ran++
		}
	}
	if ran < 8 {
		t.Errorf("only %d commands were found in the guide", ran)
	}
}

// Every relative link in the documentation leads somewhere.
func TestDocsLinksResolve(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("../../docs/adr/*.md")
	if err != nil || len(decisions) == 0 {
		t.Fatalf("%d decisions, %v", len(decisions), err)
	}
	pages = append(pages, decisions...)
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			}
		}
	}
}
