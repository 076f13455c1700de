package fleet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"keywave/internal/rotation"
)

// Selection chooses zones of a fleet. It takes the zones that Zones names, or
// all; then those that have each of Labels; then it leaves out those that
// Except names.
type Selection struct {
	Zones  []rotation.ZoneID
	Labels []string // key=value
	Except []rotation.ZoneID
}

// Empty says that nothing is chosen, and every zone stays.
func (s Selection) Empty() bool { return len(s.Zones)+len(s.Labels)+len(s.Except) == 0 }

// String is the selection as it is typed.
func (s Selection) String() string {
	var words []string
	add := func(flag string, of []string) {
		if len(of) > 0 {
			words = append(words, flag+" "+strings.Join(of, ","))
		}
	}
	add("--zones", texts(s.Zones))
	add("--label", s.Labels)
	add("--except", texts(s.Except))
	return strings.Join(words, " ")
}

func texts(ids []rotation.ZoneID) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = string(id)
	}
	return all
}

// Select is the fleet with only the chosen zones, the hosts that these have and
// the accounts that own them. Its error names each zone that the fleet does not
// have, and each label that none of its zones has.
func (f *Fleet) Select(s Selection) (*Fleet, error) {
	if s.Empty() {
		return f, nil
	}
	if err := f.has(s); err != nil {
		return nil, err
	}
	out := f.Only(func(z Zone) bool {
		return (len(s.Zones) == 0 || slices.Contains(s.Zones, z.ID)) && !slices.Contains(s.Except, z.ID) && z.labelled(s.Labels)
	}, "chosen by "+s.String())
	if len(out.Zones) == 0 {
		return nil, fmt.Errorf("no zone of the fleet is chosen by %s", s)
	}
	return out, nil
}

// Only is the fleet with the zones that are wanted, their hosts and accounts; why
// goes on after "3 of 8 zones, ".
func (f *Fleet) Only(wanted func(Zone) bool, why string) *Fleet {
	out := *f
	out.Zones = slices.DeleteFunc(slices.Clone(f.Zones), func(z Zone) bool { return !wanted(z) })
	used := map[rotation.HostName]bool{}
	owners := map[rotation.Account]bool{}
	for _, z := range out.Zones {
		owners[z.Account] = true
		for _, h := range z.Hosts {
			used[h] = true
		}
	}
	out.Hosts = maps.Clone(f.Hosts)
	maps.DeleteFunc(out.Hosts, func(name rotation.HostName, _ Host) bool { return !used[name] })
	out.Accounts = slices.DeleteFunc(slices.Clone(f.Accounts), func(a Account) bool { return !owners[a.Name] })
	out.Selected = fmt.Sprintf("%d of %d zones, %s", len(out.Zones), len(f.Zones), why)
	if f.Selected != "" {
		out.Selected = f.Selected + "; of these " + out.Selected
	}
	out.digest()
	return &out
}

// has reports zones and labels of a selection that the fleet does not have.
func (f *Fleet) has(s Selection) error {
	var wrong []error
	names := make([]string, len(f.Zones))
	for i, z := range f.Zones {
		names[i] = string(z.ID)
	}
	for _, list := range []struct {
		flag string
		ids  []rotation.ZoneID
	}{{"--zones", s.Zones}, {"--except", s.Except}} {
		for _, id := range list.ids {
			if !slices.Contains(names, string(id)) {
				wrong = append(wrong, fmt.Errorf("%s names zone %q, which the fleet does not have%s", list.flag, id, meant(string(id), names)))
			}
		}
	}
	for _, label := range s.Labels {
		switch key, _, is := strings.Cut(label, "="); {
		case !is || key == "":
			wrong = append(wrong, fmt.Errorf("--label %q is no label; write key=value", label))
		case !slices.ContainsFunc(f.Zones, func(z Zone) bool { return z.labelled([]string{label}) }):
			wrong = append(wrong, fmt.Errorf("no zone of the fleet has the label %s", label))
		}
	}
	return errors.Join(wrong...)
}

// labelled says that the zone has each of the labels.
func (z Zone) labelled(labels []string) bool {
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		if has, is := z.Labels[key]; !is || has != value {
			return false
		}
	}
	return true
}

// From says where the zones came from, and which of them were chosen. It is
// empty when all zones of the fleet file are there.
func (f *Fleet) From() string {
	switch from := f.Source.String(); {
	case f.Selected == "":
		return from
	case from == "":
		return "the fleet file: " + f.Selected
	default:
		return from + "; " + f.Selected
	}
}
