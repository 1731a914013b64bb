package alert

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// File is a stand-in for a chat: a file that gets each message as a line, with
// exactly what the chat would.
type File string

// Send implements [Sender].
func (f File) Send(_ context.Context, m Message) error {
	body, err := Slack(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o755); err != nil {
		return fmt.Errorf("folder of the alerts: %w", err)
	}
	out, err := os.OpenFile(string(f), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("file of the alerts: %w", err)
	}
	_, err = out.Write(append(body, '\n'))
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write the alert: %w", err)
	}
	return nil
}
