// Package all names the kinds of sources that are in the binary.
package all

import (
	"elt/extract"
	"elt/extract/files"
	"elt/extract/postgres"
)

// Kinds lists every kind of source, by name.
func Kinds() []extract.Kind {
	return []extract.Kind{
		files.Kind(),
		postgres.Kind(),
	}
}
