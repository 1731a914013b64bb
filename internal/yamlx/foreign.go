package yamlx

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// foreign is the mistake of a file that is no UTF-8 text, told at its first byte
// that is none. It has no excerpt: such a line is noise, or worse, on a terminal.
func (f *File) foreign(src []byte) *Error {
	const expected = "YAML text in UTF-8"
	if bytes.HasPrefix(src, []byte("\xff\xfe")) || bytes.HasPrefix(src, []byte("\xfe\xff")) {
		return &Error{Pos: Pos{f.Name, 1, 1}, Msg: "the file is UTF-16", Expected: expected,
			Hint: "convert it: iconv -f utf-16 -t utf-8 " + f.Name}
	}
	line, col := 1, 1
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return &Error{Pos: Pos{f.Name, line, col}, Msg: fmt.Sprintf("byte 0x%02x is no UTF-8", src[i]), Expected: expected,
				Hint: "if the file is text, save it as UTF-8; else give elt the right file"}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return &Error{Pos: Pos{f.Name, line, col}, Msg: fmt.Sprintf("the control character 0x%02x", r), Expected: expected,
				Hint: `delete it, or write it inside double quotes as ` + fmt.Sprintf(`"\x%02x"`, r)}
		case r == '\n':
			line, col = line+1, 0
		}
		i, col = i+size, col+1
	}
	return nil
}
