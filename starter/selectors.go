package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

// selectors choose some of a fleet's zones.
type selectors struct{ zones, labels, except []string }

func (s *selectors) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&s.zones, "zones", nil, "only these zones of the fleet: a,b")
	cmd.Flags().StringSliceVar(&s.labels, "label", nil, "only zones that have this label, key=value; several must all be there")
	cmd.Flags().StringSliceVar(&s.except, "except", nil, "without these zones: a,b")
}

func (s *selectors) selection() fleet.Selection {
	return fleet.Selection{Zones: idsOf(s.zones), Labels: s.labels, Except: idsOf(s.except)}
}

func idsOf(words []string) []rotation.ZoneID {
	ids := make([]rotation.ZoneID, len(words))
	for i, w := range words {
		ids[i] = rotation.ZoneID(w)
	}
	return ids
}

// of is the fleet with the zones that are chosen; f may be nil.
func (s *selectors) of(f *fleet.Fleet) (*fleet.Fleet, error) {
	if f == nil || s.selection().Empty() {
		return f, nil
	}
	chosen, err := f.Select(s.selection())
	if err != nil {
		return nil, refused(fmt.Errorf("nothing was changed:\n%w", err))
	}
	return chosen, nil
}
