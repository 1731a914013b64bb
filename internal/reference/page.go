// Package reference writes the parts of docs/reference.md that the program
// itself knows: the keys of a project, and the commands with their flags and
// exit codes. They stand between markers, so that the prose around them is a
// person's, and a test fails when they are older than the program.
package reference

import (
	"fmt"
	"strings"
)

// Put replaces what stands in page between the markers of name.
func Put(page, name, text string) (string, error) {
	begin, end := fmt.Sprintf("<!-- begin %s: written by make docs -->", name), fmt.Sprintf("<!-- end %s -->", name)
	before, rest, ok := strings.Cut(page, begin)
	if !ok {
		return "", fmt.Errorf("the page lacks the line %s", begin)
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("the page lacks the line %s", end)
	}
	return before + begin + "\n\n" + strings.TrimSpace(text) + "\n\n" + end + after, nil
}
