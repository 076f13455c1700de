// Package telemetry is how Keywave's workers speak to machines: structured
// logs, to standard error, without a key in them.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"

	"keywave/internal/harmless"
)

// Log keys, so that every line calls a thing the same.
const (
	Account = "account"
	Fleet   = "fleet" // the mark of a fleet file
)

// NewLogger writes lines of a level (debug, info, warn, error) and form (text,
// json) to w. Messages and values hold words of others: each is made harmless.
func NewLogger(w io.Writer, level, form string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l, ReplaceAttr: harmlessly}
	switch form {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log form %q: use text or json", form)
}

// harmlessly leaves numbers, instants and truth as they are; all else is text.
func harmlessly(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString, slog.KindAny:
		if _, ours := a.Value.Any().(slog.Level); !ours {
			a.Value = slog.StringValue(harmless.Log(a.Value.String()))
		}
	}
	a.Key = harmless.Log(a.Key)
	return a
}
