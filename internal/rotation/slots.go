package rotation

import "slices"

// Slots says who owns the places of a window. In a shard every zone at risk owns
// one; in an account every running shard owns some. Nothing else counts them.
//
// An owner is given places. It owns all of them until it says that it takes no
// more than it uses: from then on it owns what it uses, and the rest is free.
type Slots[K comparable] struct {
	window int
	owners []slotOwner[K] // in the order in which they came
}

type slotOwner[K comparable] struct {
	key   K
	given int
	used  int
	final bool // it takes no more places than it uses
	loose bool // it gave its places back and goes on
}

// NewSlots is a window without owners.
func NewSlots[K comparable](window int) Slots[K] { return Slots[K]{window: window} }

// Window is how many places there are.
func (s *Slots[K]) Window() int { return s.window }

// Resize changes how many places there are. Owners keep what they have.
func (s *Slots[K]) Resize(window int) { s.window = window }

func (s *Slots[K]) find(k K) *slotOwner[K] {
	i := slices.IndexFunc(s.owners, func(o slotOwner[K]) bool { return o.key == k })
	if i < 0 {
		return nil
	}
	return &s.owners[i]
}

func (o *slotOwner[K]) owned() int {
	switch {
	case o.loose:
		return 0
	case o.final:
		return o.used
	}
	return max(o.given, o.used)
}

// Give lets an owner use up to n places, from now on. A new owner is put last.
func (s *Slots[K]) Give(k K, n int) {
	if o := s.find(k); o != nil {
		o.given, o.final, o.loose = n, false, false
		return
	}
	s.owners = append(s.owners, slotOwner[K]{key: k, given: n})
}

// Uses is how many places an owner says that it uses. final says that it takes
// no more.
func (s *Slots[K]) Uses(k K, n int, final bool) {
	if o := s.find(k); o != nil {
		o.used, o.final = n, final
	}
}

// Ordered says that all owners were told something new, so what they said
// before is no longer final.
func (s *Slots[K]) Ordered() {
	for i := range s.owners {
		s.owners[i].final = false
	}
}

// Loosen takes an owner's places back while it goes on.
func (s *Slots[K]) Loosen(k K) {
	if o := s.find(k); o != nil {
		o.loose = true
	}
}

// Leave removes an owner.
func (s *Slots[K]) Leave(k K) {
	s.owners = slices.DeleteFunc(s.owners, func(o slotOwner[K]) bool { return o.key == k })
}

// Owned is how many places an owner has; Given is how many it may use.
func (s *Slots[K]) Owned(k K) int {
	if o := s.find(k); o != nil {
		return o.owned()
	}
	return 0
}

// Given is how many places an owner was given last.
func (s *Slots[K]) Given(k K) int {
	if o := s.find(k); o != nil {
		return o.given
	}
	return 0
}

// Taken is how many places are owned.
func (s *Slots[K]) Taken() int {
	n := 0
	for _, o := range s.owners {
		n += o.owned()
	}
	return n
}

// Left is how many places are not owned. It is negative after the window became
// smaller.
func (s *Slots[K]) Left() int { return s.window - s.Taken() }

// Loose is how many owners gave their places back and go on.
func (s *Slots[K]) Loose() int {
	n := 0
	for _, o := range s.owners {
		if o.loose {
			n++
		}
	}
	return n
}

// Room says that another owner can have a place. It cannot while more owners
// than the window has places are loose: together with those that may still
// become loose they would be more than two windows.
func (s *Slots[K]) Room() bool { return s.Left() > 0 && s.Loose() <= s.window }

// Admitting says that some owner may still take places that it does not use
// yet.
func (s *Slots[K]) Admitting() bool {
	return slices.ContainsFunc(s.owners, func(o slotOwner[K]) bool { return !o.final && !o.loose })
}

// Widen gives the places that are left to the latest owner that takes more, and
// says how many that owner has now. more is false when nothing is left, or no
// owner takes more.
func (s *Slots[K]) Widen() (k K, n int, more bool) {
	left := s.Left()
	for _, o := range slices.Backward(s.owners) {
		if o.final || o.loose {
			continue
		}
		if left <= 0 {
			break
		}
		n = o.owned() + left
		s.Give(o.key, n)
		return o.key, n, true
	}
	return k, 0, false
}

// Split lets every owner take places again, all at the same time. Each keeps
// what it uses, and they share the rest in equal parts.
func (s *Slots[K]) Split() {
	left := s.window
	for _, o := range s.owners {
		left -= o.used
	}
	for i, o := range s.owners {
		share := max(0, left) / (len(s.owners) - i)
		left -= share
		s.Give(o.key, o.used+share)
	}
}
