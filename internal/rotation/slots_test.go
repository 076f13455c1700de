package rotation_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keywave/internal/rotation"
)

func TestSlotsOfAShard(t *testing.T) {
	s := rotation.NewSlots[string](2)
	s.Give("a", 1)
	s.Give("b", 1)
	if s.Room() || s.Taken() != 2 {
		t.Errorf("two of two places are owned, and %d are taken", s.Taken())
	}
	s.Loosen("a")
	if !s.Room() || s.Loose() != 1 || s.Owned("a") != 0 {
		t.Error("a gave its place back")
	}
	s.Give("c", 1)
	s.Loosen("b")
	s.Loosen("c")
	if s.Left() != 2 || s.Room() {
		t.Errorf("%d are loose, more than the window: nobody comes", s.Loose())
	}
	s.Leave("a")
	if !s.Room() {
		t.Error("a window of loose owners leaves room for the last time")
	}
	s.Resize(0)
	if s.Room() {
		t.Error("a window of nothing has room")
	}
}

func TestSlotsOfAnAccount(t *testing.T) {
	s := rotation.NewSlots[int](10)
	s.Give(1, 10)
	s.Uses(1, 6, false)
	if s.Left() != 0 || !s.Admitting() {
		t.Error("a shard that still admits zones owns all that it was given")
	}
	s.Uses(1, 6, true)
	if s.Left() != 4 || s.Admitting() {
		t.Errorf("a shard whose last zone has started needs 6, and %d are left", s.Left())
	}
	s.Give(2, s.Left())
	s.Uses(1, 1, true)
	if page, n, more := s.Widen(); page != 2 || n != 9 || !more {
		t.Errorf("shard %d gets %d, %t", page, n, more)
	}
	s.Ordered()
	if s.Owned(1) != 10 {
		t.Errorf("what shard 1 said before the order does not count any more, and it owns %d", s.Owned(1))
	}
	s.Uses(1, 1, true)
	s.Uses(2, 4, false)
	s.Split()
	if s.Given(1) != 3 || s.Given(2) != 7 || s.Left() != 0 {
		t.Errorf("given %d and %d", s.Given(1), s.Given(2))
	}
	s.Leave(2)
	s.Uses(1, 1, true)
	if _, _, more := s.Widen(); more || s.Left() != 9 {
		t.Error("nobody takes more")
	}
}

// Shards of one account come, use the slots that they were given, report it
// late, and end. Together they never have more zones at risk than the window
// has places.
func TestSlotsAreNeverOwnedTwice(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	steps := 0
	for range 2000 {
		account := newAccountModel(1+dice.IntN(20), dice)
		for range 200 {
			account.step()
			steps++
			if used := account.used(); used > account.window {
				t.Fatalf("%d zones at risk, and the window is %d: %s", used, account.window, account)
			}
		}
	}
	t.Logf("%d steps", steps)
}

// accountModel is a campaign's side of Slots, and shards that use what they are
// given.
type accountModel struct {
	slots  rotation.Slots[int]
	window int
	shards map[int]*shardModel
	last   int
	dice   *rand.Rand
}

type shardModel struct{ given, used int }

func newAccountModel(window int, dice *rand.Rand) *accountModel {
	return &accountModel{rotation.NewSlots[int](window), window, map[int]*shardModel{}, 0, dice}
}

func (a *accountModel) String() string { return fmt.Sprintf("%+v, %d left", a.shards, a.slots.Left()) }

func (a *accountModel) used() int {
	n := 0
	for _, s := range a.shards {
		n += s.used
	}
	return n
}

func (a *accountModel) step() {
	page := 1 + a.dice.IntN(max(1, a.last))
	s := a.shards[page]
	switch a.dice.IntN(7) {
	case 0:
		if left := a.slots.Left(); left > 0 && !a.slots.Admitting() {
			a.last++
			a.slots.Give(a.last, left)
			a.shards[a.last] = &shardModel{given: left}
		}
	case 1:
		if page, n, more := a.slots.Widen(); more {
			a.shards[page].given = n
		}
	case 2:
		if s != nil { // it says what it uses; once its last zone has started it takes no more
			final := a.dice.IntN(2) == 0
			if final {
				s.given = s.used
			}
			a.slots.Uses(page, s.used, final)
		}
	case 3:
		if s != nil {
			a.slots.Leave(page)
			delete(a.shards, page)
		}
	case 4:
		if a.dice.IntN(10) == 0 { // when people resume, all shards are quiet, and what they said is true
			a.slots.Ordered()
			for page, s := range a.shards {
				a.slots.Uses(page, s.used, false)
			}
			a.slots.Split()
			for page, s := range a.shards {
				s.given = a.slots.Given(page)
			}
		}
	default:
		if s != nil && s.used < s.given {
			s.used++
		} else if s != nil && s.used > 0 {
			s.used--
		}
	}
}
