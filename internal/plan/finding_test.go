package plan

import (
	"fmt"
	"reflect"
	"testing"

	"keywave/internal/rotation"
)

// A bastion is one finding, however many hosts are behind it and however many
// pages name it.
func TestBastionIsOneFinding(t *testing.T) {
	var pages []Finding
	for page := range 3 {
		pages = append(pages, Finding{Zone: "zone-1", Text: fmt.Sprintf("drift %d", page)})
		var found []Finding
		for i := range 5 {
			host := rotation.HostName(fmt.Sprintf("gw-%d", page+i)) // pages share hosts
			found = append(found, LostBastion(rotation.Proof{Host: host, Bastion: "jump", Problem: "connect: bastion jump (b:22): is lost"}))
		}
		once, less := Together(found)
		if len(once) != 1 || less != 4 {
			t.Fatalf("a page has %d findings, %d fewer", len(once), less)
		}
		pages = append(pages, once...)
	}
	all, less := Together(pages)
	if less != 2 || len(all) != 4 || all[0].Bastion != "jump" {
		t.Fatalf("the plan has %+v, %d fewer", all, less)
	}
	want := Finding{Bastion: "jump", Text: "connect: bastion jump (b:22): is lost (7 hosts: gw-0, gw-1, gw-2 and 4 more)"}
	if got := all[0].Settled(); !reflect.DeepEqual(got, want) {
		t.Errorf("it is told as %+v, want %+v", got, want)
	}
	if got := all[1].Settled(); !reflect.DeepEqual(got, pages[0]) {
		t.Errorf("another finding is told as %+v", got)
	}
	one := Finding{Bastion: "jump", Behind: []rotation.HostName{"gw-1"}, Text: "lost"}.Settled()
	if one.Text != "lost (1 host: gw-1)" {
		t.Errorf("one host is told as %q", one.Text)
	}
}

// If every page says the same of a host, that is one finding. What is said of a
// zone is one finding each.
func TestWhatPagesSayAlikeIsOneFinding(t *testing.T) {
	note := Finding{Host: "gw-1", Text: "its certificate ends"}
	drift := Finding{Zone: "zone-1", Host: "gw-1", Text: "its certificate ends"}
	other := Finding{Host: "gw-2", Text: "its certificate ends"}
	all, less := Together([]Finding{drift, note, other, note, drift, note})
	if want := []Finding{drift, note, other, drift}; !reflect.DeepEqual(all, want) || less != 2 {
		t.Errorf("got %+v, %d fewer, want %+v", all, less, want)
	}
}
