package plan

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"keywave/internal/rotation"
)

// Whole is a plan with the content of its pages.
type Whole struct {
	Settings Settings
	Waves    []Wave
	Pages    []Page
}

// Difference is one thing in which a second plan differs from a first.
type Difference struct {
	Zone rotation.ZoneID   `json:"zone,omitempty"`
	Host rotation.HostName `json:"host,omitempty"`
	Text string            `json:"text"`
}

// String names the zone or host, and the difference.
func (d Difference) String() string {
	switch {
	case d.Zone != "":
		return "zone " + string(d.Zone) + " " + d.Text
	case d.Host != "":
		return "host " + string(d.Host) + " " + d.Text
	}
	return d.Text
}

// Diff is what differs from old to now: settings, waves, hosts, zones, in this
// order. A baseline that one of them does not have is no difference. fields
// names the fields in which two HostRefs' Parts differ.
func Diff(old, now Whole, fields func(old, now string) []string) []Difference {
	found := diffSettings(old.Settings, now.Settings)
	if a, b := sizes(old.Waves), sizes(now.Waves); a != b {
		found = append(found, Difference{Text: fmt.Sprintf("waves: %s zones, were %s", b, a)})
	}
	found = append(found, diffHosts(hostsOf(old.Pages), hostsOf(now.Pages), fields)...)
	return append(found, diffZones(placesOf(old.Pages), placesOf(now.Pages))...)
}

// diffSettings names settings as the fleet file does, which is how their JSON
// does.
func diffSettings(old, now Settings) []Difference {
	var found []Difference
	compare := func(a, b reflect.Value) {
		for i := range a.NumField() {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			x, y := a.Field(i).Interface(), b.Field(i).Interface()
			if name != "timing" && !reflect.DeepEqual(x, y) {
				found = append(found, Difference{Text: fmt.Sprintf("%s: %v, was %v", name, y, x)})
			}
		}
	}
	compare(reflect.ValueOf(old), reflect.ValueOf(now))
	compare(reflect.ValueOf(old.Timing), reflect.ValueOf(now.Timing))
	return found
}

func sizes(waves []Wave) string {
	all := make([]string, len(waves))
	for i, w := range waves {
		all[i] = fmt.Sprint(w.Zones)
	}
	return strings.Join(all, ", ")
}

func hostsOf(pages []Page) map[rotation.HostName]rotation.HostRef {
	all := map[rotation.HostName]rotation.HostRef{}
	for _, p := range pages {
		for _, h := range p.Hosts {
			all[h.Name] = h
		}
	}
	return all
}

func diffHosts(old, now map[rotation.HostName]rotation.HostRef, fields func(old, now string) []string) []Difference {
	var found []Difference
	for _, name := range names(old, now) {
		was, had := old[name]
		is, has := now[name]
		switch {
		case !had:
			found = append(found, Difference{Host: name, Text: "is new"})
		case !has:
			found = append(found, Difference{Host: name, Text: "is gone"})
		case was.Digest != is.Digest:
			what := strings.Join(fields(was.Parts, is.Parts), ", ")
			if what == "" {
				what = "its definition"
			}
			found = append(found, Difference{Host: name, Text: "is defined otherwise: " + what})
		}
	}
	return found
}

// place is where a zone stands in a plan.
type place struct {
	account  rotation.Account
	wave     int
	hosts    []rotation.HostName
	baseline rotation.Fingerprint
	former   rotation.Fingerprint // the key that is put back, in a rollback
}

func placesOf(pages []Page) map[rotation.ZoneID]place {
	all := map[rotation.ZoneID]place{}
	for _, p := range pages {
		for _, z := range p.Zones {
			at := place{account: p.Account, wave: p.Wave, baseline: z.Baseline}
			for _, h := range z.Hosts {
				at.hosts = append(at.hosts, p.Hosts[h].Name)
			}
			slices.Sort(at.hosts)
			if z.Former != nil {
				at.former = z.Former.Key
			}
			all[z.ID] = at
		}
	}
	return all
}

func diffZones(old, now map[rotation.ZoneID]place) []Difference {
	var found []Difference
	for _, id := range names(old, now) {
		was, had := old[id]
		is, has := now[id]
		say := func(format string, args ...any) {
			found = append(found, Difference{Zone: id, Text: fmt.Sprintf(format, args...)})
		}
		if !had {
			say("is new")
			continue
		}
		if !has {
			say("is gone")
			continue
		}
		if was.account != is.account {
			say("is of account %s, was of %s", is.account, was.account)
		}
		if was.wave != is.wave {
			say("is in wave %d, was in %d", is.wave, was.wave)
		}
		if !slices.Equal(was.hosts, is.hosts) {
			say("has hosts %v, had %v", is.hosts, was.hosts)
		}
		if was.former != is.former {
			say("gets %s, and got %s before", putsBack(is.former), putsBack(was.former))
		}
		if text := KeyChanged(was.baseline, is.baseline); text != "" {
			say("%s", text)
		}
	}
	return found
}

func putsBack(former rotation.Fingerprint) string {
	if former == "" {
		return "a new key"
	}
	return "its former key " + string(former)
}

// KeyChanged says that a zone's live key is another than before; empty when it is
// not, or one of the two is not known.
func KeyChanged(was, is rotation.Fingerprint) string {
	if was == is || was == "" || is == "" {
		return ""
	}
	return fmt.Sprintf("has the live key %s, had %s: it was changed in between", is, was)
}

func names[K cmp.Ordered, V any](old, now map[K]V) []K {
	both := maps.Clone(old)
	maps.Copy(both, now)
	return slices.Sorted(maps.Keys(both))
}
