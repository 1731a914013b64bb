package transform

import "elt/internal/sqlparse"

// Flow tells what each column of the model is made of; its tables are named as
// the model's text names them.
func (m *Model) Flow() sqlparse.Flow { return m.query.Flow }
