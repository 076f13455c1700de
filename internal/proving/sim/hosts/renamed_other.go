//go:build !linux

package hosts

import "keywave/internal/proving/sim/journal"

// renames sees nothing away from Linux: no file is reported as renamed.
type renames struct{}

func watchRenames(*journal.Journal) *renames { return nil }

func (*renames) add(_, _ string) error { return nil }
func (*renames) serve()                {}
func (*renames) look()                 {}
func (*renames) close()                {}
