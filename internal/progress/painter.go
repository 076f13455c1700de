package progress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"keywave/internal/harmless"
	"keywave/workflows"
)

// assumedRows is a terminal's height where nobody tells.
const assumedRows = 24

// lineEvery is how often a log gets a line while the state stays the same.
const lineEvery = time.Second

// Painter shows a campaign as it goes on: on a terminal by redrawing one view
// in place, elsewhere by a plain line whenever something changed, at most one a
// second, and one for every change of state or wave. It is not safe for
// concurrent use.
type Painter struct {
	// Rows is the terminal's present height; nil means 24. A view never fills
	// more, because what has scrolled away cannot be redrawn.
	Rows func() int

	w     io.Writer
	tty   bool
	width func() int
	color bool

	frame []int  // cells of each line that stands on the terminal
	last  string // body of the line printed last
	mark  string // its state and wave
	at    time.Time
	owed  *workflows.Status // seen, and not printed yet
}

// NewPainter draws to w. tty says that w is a terminal that understands cursor
// movement; width is its present width in cells, asked before each frame; color
// says that colours are wanted there.
func NewPainter(w io.Writer, tty bool, width func() int, color bool) *Painter {
	return &Painter{w: w, tty: tty, width: width, color: color}
}

// Show draws s, as of now. Its error is w's.
func (p *Painter) Show(s workflows.Status) error {
	if p.tty {
		return p.draw(s)
	}
	return p.log(s)
}

// Close leaves the last view standing, the cursor below it; a log gets the line
// that the pace held back. A later Show begins again.
func (p *Painter) Close() error {
	p.frame = nil
	if p.owed == nil {
		return nil
	}
	return p.print(*p.owed)
}

// draw puts a frame over the one before, in one write. Each line is cleared
// before it is written, never after: at the right margin, clearing to the end
// of the line takes the last character with it.
func (p *Painter) draw(s workflows.Status) error {
	width := defaultWidth
	if p.width != nil && p.width() > 0 {
		width = p.width()
	}
	rows := assumedRows
	if p.Rows != nil && p.Rows() > 1 {
		rows = p.Rows()
	}
	lines := view(s, width, rows-1, p.color, time.Now())
	var b strings.Builder
	if up := min(standing(p.frame, width), rows-1); up > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA", up)
	}
	p.frame = p.frame[:0]
	for _, l := range lines {
		b.WriteString("\x1b[2K" + l + "\r\n")
		p.frame = append(p.frame, cells(unpainted(l)))
	}
	b.WriteString("\x1b[J")
	return harmless.Draw(p.w, harmless.Drawn(b.String()))
}

// standing is how many rows a frame takes on a terminal that is width cells
// wide now: one that became narrower has folded the lines that do not fit.
func standing(frame []int, width int) int {
	rows := 0
	for _, n := range frame {
		rows += max(1, (n+width-1)/width)
	}
	return rows
}

// unpainted drops the colours that paint put on.
func unpainted(l string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(l, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, l, _ = strings.Cut(after, "m")
	}
}

func (p *Painter) log(s workflows.Status) error {
	if body(s) == p.last {
		p.owed = nil
		return nil
	}
	if mark(s) == p.mark && time.Since(p.at) < lineEvery {
		p.owed = &s
		return nil
	}
	return p.print(s)
}

func (p *Painter) print(s workflows.Status) error {
	p.last, p.mark, p.at, p.owed = body(s), mark(s), time.Now(), nil
	_, err := io.WriteString(p.w, Line(s, p.at)+"\n")
	return err
}

func mark(s workflows.Status) string { return fmt.Sprint(s.State, s.Wave) }
