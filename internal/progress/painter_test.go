package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"keywave/workflows"
)

// screen is a terminal of rows × cols cells. It understands what Painter
// writes, and fails the test for everything else. Lines that scroll off its top
// go into scrolled.
type screen struct {
	t        *testing.T
	cols     int
	rows     int
	lines    [][]rune // those on screen; after a wide rune comes a 0
	folded   []bool   // the line goes on in the next one
	scrolled []string
	row, col int
}

func newScreen(t *testing.T, rows, cols int) *screen {
	s := &screen{t: t, rows: rows, cols: cols}
	s.lines, s.folded = make([][]rune, rows), make([]bool, rows)
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			text = s.control(rest)
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		s.put(r)
	}
	return len(p), nil
}

func (s *screen) control(seq string) string {
	end := strings.IndexFunc(seq, func(r rune) bool { return (r < '0' || r > '9') && r != ';' })
	n := 0
	for _, d := range seq[:end] {
		n = n*10 + int(d-'0')
	}
	switch seq[end] {
	case 'A':
		s.row = max(0, s.row-n)
	case 'K':
		if n != 2 {
			s.t.Fatalf("ESC[%s", seq[:end+1])
		}
		s.lines[s.row], s.folded[s.row] = nil, false
	case 'J':
		s.lines[s.row] = s.lines[s.row][:min(len(s.lines[s.row]), s.col)]
		for i := s.row + 1; i < s.rows; i++ {
			s.lines[i], s.folded[i] = nil, false
		}
	case 'm':
	default:
		s.t.Fatalf("an escape sequence nobody expected: %q", seq[:end+1])
	}
	return seq[end+1:]
}

func (s *screen) put(r rune) {
	switch {
	case r == '\r':
		s.col = 0
	case r == '\n':
		s.down()
	case r < ' ':
		s.t.Fatalf("a control character nobody expected: %q", r)
	default:
		n := runeCells(r)
		if s.col+n > s.cols {
			s.folded[s.row] = true
			s.down()
			s.col = 0
		}
		for len(s.lines[s.row]) < s.col+n {
			s.lines[s.row] = append(s.lines[s.row], ' ')
		}
		s.lines[s.row][s.col] = r
		if n == 2 {
			s.lines[s.row][s.col+1] = 0
		}
		s.col += n
	}
}

func (s *screen) down() {
	if s.row++; s.row < s.rows {
		return
	}
	s.scrolled = append(s.scrolled, show(s.lines[0]))
	s.lines = append(s.lines[1:], nil)
	s.folded = append(s.folded[1:], false)
	s.row--
}

// resize folds and unfolds lines as most terminals do.
func (s *screen) resize(cols int) {
	var whole [][]rune
	var l []rune
	for i := range s.row {
		l = append(l, s.lines[i]...)
		if !s.folded[i] {
			whole, l = append(whole, l), nil
		}
	}
	fresh := newScreen(s.t, s.rows, cols)
	fresh.scrolled = s.scrolled
	for _, l := range whole {
		_, _ = fresh.Write([]byte(show(l) + "\r\n"))
	}
	*s = *fresh
}

func show(l []rune) string {
	return strings.TrimRight(strings.ReplaceAll(string(l), "\x00", ""), " ")
}

func (s *screen) text() string {
	var lines []string
	for _, l := range s.lines {
		lines = append(lines, show(l))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
}

func (s *screen) wants(want string) {
	s.t.Helper()
	if got := s.text(); got != want {
		s.t.Errorf("on screen:\n%s\nwant:\n%s", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPainterRedrawsInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		at := func(s workflows.Status) workflows.Status {
			if s.StartedAt = began; s.EndedAt != nil {
				ended := began.Add(3 * time.Minute)
				s.EndedAt = &ended
			}
			return s
		}
		term := newScreen(t, 60, 80)
		width := 80
		p := NewPainter(term, true, func() int { return width }, true)
		p.Rows = func() int { return 60 }
		_, _ = term.Write([]byte("$ keywave campaign watch spring-rotation\r\n"))
		prompt := term.text()

		for _, s := range []workflows.Status{starting(), running(), paused(), running(), cancelled(), paused(), done()} {
			must(t, p.Show(at(s)))
			term.wants(prompt + string(View(at(s), width, false, time.Now())))
			time.Sleep(time.Second)
		}
		for _, next := range []int{47, 120, 61, 40, 80} { // the terminal changes under a frame
			must(t, p.Show(at(paused())))
			term.wants(prompt + string(View(at(paused()), width, false, time.Now())))
			width = next
			term.resize(width)
			must(t, p.Show(at(paused())))
			term.wants(prompt + string(View(at(paused()), width, false, time.Now())))
		}
		must(t, p.Close())
		_, _ = term.Write([]byte("$ \r\n"))
		term.wants(prompt + string(View(at(paused()), width, false, time.Now())) + "$\n")
		if len(term.scrolled) > 0 {
			t.Errorf("scrolled away: %q", term.scrolled)
		}
	})
}

// On a screen that is too low for the whole view, no part of the view scrolls
// away. Only the prompt does, once.
func TestPainterOnALowScreen(t *testing.T) {
	for _, rows := range []int{3, 10, 15, 24} {
		term := newScreen(t, rows, 80)
		p := NewPainter(term, true, func() int { return 80 }, false)
		p.Rows = func() int { return rows }
		_, _ = term.Write([]byte(strings.Repeat("before\r\n", 3)))
		for range 5 {
			must(t, p.Show(paused()))
			must(t, p.Show(running()))
		}
		must(t, p.Show(paused()))
		for _, l := range term.scrolled {
			if l != "before" {
				t.Errorf("%d rows: %q scrolled away", rows, l)
			}
		}
		if n := strings.Count(term.text(), "spring-rotation  paused"); n != 1 {
			t.Errorf("%d rows: %d title lines:\n%s", rows, n, term.text())
		}
	}
}

func TestPainterAfterCloseBeginsAnew(t *testing.T) {
	term := newScreen(t, 60, 80)
	p := NewPainter(term, true, nil, false)
	must(t, p.Show(done()))
	must(t, p.Close())
	must(t, p.Close())
	must(t, p.Show(done()))
	term.wants(strings.Repeat(string(View(done(), 80, false, time.Now())), 2))
}

func TestPainterInALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewPainter(&out, false, nil, false)
		var want strings.Builder
		show := func(s workflows.Status, printed bool) {
			t.Helper()
			if printed {
				want.WriteString(Line(s, time.Now()) + "\n")
			}
			must(t, p.Show(s))
			if out.String() != want.String() {
				t.Fatalf("got:\n%s\nwant:\n%s", out.String(), want.String())
			}
		}
		first, second, third := running(), running(), running()
		second.Zones.Done, second.Zones.Pending = 15, 45
		third.Zones.Done, third.Zones.Pending = 16, 44

		show(first, true)
		show(first, false) // nothing new
		time.Sleep(300 * time.Millisecond)
		show(second, false) // too soon
		show(paused(), true)
		show(paused(), false)
		time.Sleep(time.Second)
		show(second, true)
		time.Sleep(999 * time.Millisecond)
		show(third, false)
		time.Sleep(time.Millisecond)
		show(third, true)
		time.Sleep(time.Hour)
		show(third, false)
		show(second, true)
		show(third, false)
		must(t, p.Close())
		want.WriteString(Line(third, time.Now()) + "\n") // the pace had delayed it
		must(t, p.Close())
		if out.String() != want.String() {
			t.Fatalf("got:\n%s\nwant:\n%s", out.String(), want.String())
		}
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestPainterSaysThatNobodyListens(t *testing.T) {
	for _, tty := range []bool{true, false} {
		if err := NewPainter(broken{}, tty, nil, false).Show(running()); err == nil {
			t.Errorf("tty %v: no error", tty)
		}
	}
}
