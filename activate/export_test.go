package activate

// Abandon gives the lock back and leaves all else, as a process that dies.
func (p *Plan) Abandon() { p.held(); p.held = nil }

// JSONObject is jsonObject for tests of one member.
func JSONObject(engine, name, expr, typ string) (string, error) {
	return jsonObject(engine, []member{{name: name, expr: expr, typ: typ}})
}
