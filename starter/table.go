package main

import (
	"io"
	"strings"
	"text/tabwriter"

	"keywave/internal/harmless"
)

// table is rows in columns. A text that is too wide for a column stands in a line
// below its row.
type table struct {
	rows  strings.Builder
	tabs  *tabwriter.Writer
	lines [][]string // below each row, the header's first
}

func newTable(header ...any) *table {
	t := &table{}
	t.tabs = tabwriter.NewWriter(&t.rows, 0, 0, 2, ' ', 0)
	t.row(header...)
	return t
}

func (t *table) row(cells ...any) {
	put(t.tabs, strings.TrimSuffix(strings.Repeat("%v\t", len(cells)), "\t")+"\n", cells...)
	t.lines = append(t.lines, nil)
}

// below adds a line below the last row, unless it is empty.
func (t *table) below(text string) {
	if text != "" {
		last := &t.lines[len(t.lines)-1]
		*last = append(*last, text)
	}
}

func (t *table) write(w io.Writer) {
	_ = t.tabs.Flush()
	for i, row := range strings.Split(strings.TrimSuffix(t.rows.String(), "\n"), "\n") {
		put(w, "%s\n", harmless.Own(row))
		for _, text := range t.lines[i] {
			put(w, "  %s\n", text)
		}
	}
}
