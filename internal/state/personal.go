package state

// PersonalColumns are the columns of elt's own tables that hold values of rows,
// by table: what is personal in the data may be personal there too.
func PersonalColumns() map[string][]string {
	return map[string][]string{
		"_elt.quarantine": {"locator", "reason", "payload"},
		"_elt.finding":    {"samples"},
		Ledger:            {"key_json", "dest_id"},
		Intents:           {"key_json", "payload"},
		Attempts:          {"key_json", "payload", "message"},
		SyncQuarantine:    {"key_json", "payload", "message"},
	}
}
