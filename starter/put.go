package main

import (
	"encoding/json"
	"io"
	"strings"

	"keywave/internal/harmless"
)

// Everything that the command line prints goes through this file. Formats are ours;
// their arguments are words of others, which are made harmless and kept on one line.
// What is drawn goes through harmless.Draw.

// put is fmt.Fprintf for a terminal.
func put(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, harmless.Sprintf(harmless.Terminal, format, args...))
}

// putJSON writes v as JSON, indented by indent. Words stay what they are, and what
// a terminal would act on is escaped.
func putJSON(w io.Writer, v any, indent string) error {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(harmless.JSON([]byte(text.String())))
	return err
}

// complain says why the program failed. Some errors have several lines: those
// after the first stand further in, so that none passes for another message.
func complain(w io.Writer, err error) {
	lines := strings.Split(strings.TrimRight(harmless.Lines(err.Error()), "\n"), "\n")
	for i, l := range lines {
		if i > 0 && !strings.HasPrefix(l, "  ") {
			lines[i] = "  " + l
		}
	}
	put(w, "keywave: %s\n", harmless.Own(strings.Join(lines, "\n")))
}
