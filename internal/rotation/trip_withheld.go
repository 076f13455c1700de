package rotation

// Withheld says that the live key may not go to the hosts of this trip, in
// PhaseBaseline: what they hold stays as it is.
func (t *Trip) Withheld(why string) {
	t.end(evUnreadable, Pending, why+"; nothing was changed")
}
