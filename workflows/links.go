package workflows

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"keywave/internal/rotation"
)

// currentNamespace is what the Temporal UI replaces, in Markdown, by the
// namespace of the page that shows it. Links there are relative, so that they
// need not know where the UI is.
const currentNamespace = "{namespace}"

// listPath is where the Temporal UI lists the workflows that a visibility query
// finds.
func listPath(namespace, query string) string {
	return "namespaces/" + namespace + "/workflows?query=" + url.QueryEscape(query)
}

// workflowPath is the page of a workflow's latest run.
func workflowPath(namespace, id string) string {
	return "namespaces/" + namespace + "/workflows/" + url.PathEscape(id)
}

// ZoneList is a part of a campaign's zones as Temporal lists them.
type ZoneList struct {
	// Name is "exposed", "held", "running" or "failed".
	Name  string `json:"name"`
	Zones int    `json:"zones"`
	// Query finds them in Temporal's list of workflows. Zones of an earlier run of
	// the campaign that ended so are found too.
	Query string `json:"query"`
	// URL is that list in the Temporal UI, where it is known where that is.
	URL string `json:"url,omitempty"`
}

// ZoneLists are the lists in which somebody looks for zones that need a person,
// without those that are empty.
func (s Status) ZoneLists() []ZoneList {
	failed := slices.DeleteFunc(rotation.Outcomes(), func(o rotation.Outcome) bool { return !o.Failed() })
	all := []ZoneList{
		{Name: "exposed", Zones: s.Zones.Exposed, Query: outcomeIs(rotation.Exposed)},
		{Name: "held", Zones: s.Standing.Held, Query: outcomeIs(OutcomeHeld)},
		{Name: "running", Zones: s.Running, Query: "ExecutionStatus = 'Running'"},
		{Name: "failed", Zones: s.Zones.Failed(), Query: outcomeIs(failed...)},
	}
	all = slices.DeleteFunc(all, func(l ZoneList) bool { return l.Zones == 0 })
	for i := range all {
		all[i].Query = fmt.Sprintf("%s = '%s' AND WorkflowType = '%s' AND %s", AttrCampaign, s.Campaign, TypeZone, all[i].Query)
	}
	return all
}

// ExposedZones finds the runs of an account's zones that are exposed, or ended so. Those
// that ended unknown while they were exposed are among them.
func ExposedZones(a rotation.Account) string {
	return fmt.Sprintf("%s = '%s' AND WorkflowType = '%s' AND %s", AttrAccount, a, TypeZone, outcomeIs(rotation.Exposed, rotation.Unknown))
}

// DoneZones finds the runs after which a zone is not exposed.
var DoneZones = outcomeIs(rotation.Done)

func outcomeIs(outcomes ...rotation.Outcome) string {
	if len(outcomes) == 1 {
		return fmt.Sprintf("%s = '%s'", AttrOutcome, outcomes[0])
	}
	words := make([]string, len(outcomes))
	for i, o := range outcomes {
		words[i] = string(o)
	}
	return fmt.Sprintf("%s IN ('%s')", AttrOutcome, strings.Join(words, "', '"))
}

// ListURL is where a Temporal UI lists what a query finds.
func ListURL(ui, namespace, query string) string {
	return strings.TrimRight(ui, "/") + "/" + listPath(url.PathEscape(namespace), query)
}
