package planning

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.temporal.io/sdk/client"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// inventory answers Discover at once, in parts of 500 zones. The number of
// zones changes from part to part.
type inventory struct {
	totals []int
	asked  []workflows.DiscoverIn
	ids    map[string]bool
}

func (i *inventory) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if i.ids[o.ID] {
		return nil, fmt.Errorf("%s was started already", o.ID)
	}
	i.ids[o.ID] = true
	i.asked = append(i.asked, args[0].(workflows.DiscoverIn))
	return nil, nil
}

func (i *inventory) get(_ context.Context, _ client.WorkflowRun, result any) error {
	in, total := i.asked[len(i.asked)-1], i.totals[min(len(i.asked), len(i.totals))-1]
	out := result.(*activities.DiscoverOut)
	for n := in.From; n < min(in.From+500, total); n++ {
		out.Zones = append(out.Zones, rotation.ListedZone{ID: rotation.ZoneID(fmt.Sprintf("zone-%d", n))})
	}
	out.Total, out.Next = total, in.From+len(out.Zones)
	return nil
}

const listedFleet = `version: 1
locations: {hk: {hosts: {gw: {file: {path: "/k/{zone}"}}}}}
zones: {edgeone: {name: "shop-*", gateways: false, hosts: [gw]}}
`

func TestResolveListsEveryPart(t *testing.T) {
	f, err := fleet.Parse("fleet.yaml", []byte(listedFleet))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		totals []int
		zones  int
		asked  int
		want   error
	}{
		{"one part", []int{3}, 3, 1, nil},
		{"parts", []int{1200}, 1200, 3, nil},
		{"zones are made meanwhile", []int{1200, 1200, 1700}, 1700, 4, nil},
		{"a zone is deleted meanwhile: begin anew", []int{1200, 1199}, 1199, 5, nil},
		{"zones are deleted each time", []int{1200, 1199, 1199, 1198, 1198, 1197}, 0, 6, ErrMoved},
	} {
		t.Run(c.what, func(t *testing.T) {
			i := &inventory{totals: c.totals, ids: map[string]bool{}}
			whole, err := Resolve(t.Context(), i, f, i.get)
			if !errors.Is(err, c.want) || len(i.asked) != c.asked {
				t.Fatalf("%v after %d parts", err, len(i.asked))
			}
			if err == nil && (len(whole.Zones) != c.zones || whole.Listed()) {
				t.Errorf("%d zones", len(whole.Zones))
			}
			if in := i.asked[0]; in.Account != "default" || in.Query.Name != "shop-*" || in.Gateways {
				t.Errorf("asked %+v", in)
			}
		})
	}
}

// EdgeOne is not asked for zones that the fleet file has.
func TestResolveOfAList(t *testing.T) {
	f := parse(t, file)
	if got, err := Resolve(t.Context(), nil, f, nil); got != f || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// What people should know of the zones is a finding of the plan, and so is
// where the zones came from. Neither is in its digest.
func TestNotesAreFindings(t *testing.T) {
	f, err := fleet.Parse("fleet.yaml", []byte(listedFleet))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := f.Resolve([]rotation.ListedZone{{ID: "zone-1", Locked: "it is paused"}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDraft(whole, "spring")
	if err != nil || d.Plan.Found != 1 || len(d.Plan.Findings) != 1 || d.Plan.Findings[0].Zone != "zone-1" || d.Plan.Source != "EdgeOne: name shop-*; hosts: gw" {
		t.Errorf("%+v, %v", d.Plan, err)
	}
}
