package harmless

import (
	"io"
	"unicode/utf8"
)

// Drawn is text with Keywave's own control sequences, such as colours. Whoever
// makes one must make every word of others in it harmless.
type Drawn string

// Writer is the door of a terminal or a file: everything that is written passes
// through Lines, except for what Draw is given. It is not safe for concurrent
// use.
type Writer struct {
	to   io.Writer
	rest []byte // the beginning of a rune of which the rest has not come yet
}

// NewWriter makes a Writer that writes to to.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// Under is the writer that it writes to.
func (w *Writer) Under() io.Writer { return w.to }

// Write implements io.Writer. A rune that is cut at the end waits for the next
// Write.
func (w *Writer) Write(p []byte) (int, error) {
	all := append(w.rest, p...)
	cut := len(all)
	for i := cut - 1; i >= max(0, cut-utf8.UTFMax); i-- {
		if utf8.RuneStart(all[i]) {
			if !utf8.FullRune(all[i:]) {
				cut = i
			}
			break
		}
	}
	w.rest = append([]byte(nil), all[cut:]...)
	if _, err := io.WriteString(w.to, Lines(string(all[:cut]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Draw writes d as it is, without a Writer's filter.
func Draw(w io.Writer, d Drawn) error {
	if door, ok := w.(*Writer); ok {
		w = door.to
	}
	_, err := io.WriteString(w, string(d))
	return err
}
