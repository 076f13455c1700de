package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// Completion asks Temporal and the fleet file. It is quick and silent: what
// cannot be had at once is not offered.
const (
	completeWithin = 800 * time.Millisecond
	mostOffered    = 500
)

// offer lists words that may complete the one that is being typed.
type offer func(ctx context.Context, cmd *cobra.Command, word string) []string

// offers are by the word that stands for an argument in a command's Use.
func (a *app) offers() map[string]offer {
	return map[string]offer{
		"NAME": a.asking(campaignNames), "ZONE": a.zoneNames, "HOST": a.hostNames, "LOCATION": locationNames,
		"SCHEDULE": a.asking(func(ctx context.Context, conn *temporalclient.Connection, _ string) []string {
			names, _ := scheduleNames(ctx, conn)
			return names
		}),
	}
}

// flagOffers are by flag.
func (a *app) flagOffers() map[string]offer {
	return map[string]offer{
		"campaign": a.asking(campaignNames), "zone": a.zoneNames, "zones": a.zoneNames, "except": a.zoneNames, "plan": a.asking(planDigests),
		"output": func(context.Context, *cobra.Command, string) []string { return []string{"text", "json"} },
	}
}

// complete gives a command, and all below it, what there is to offer.
func (a *app) complete(cmd *cobra.Command) {
	takes, byWord := argumentsOf(cmd), a.offers()
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, given []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(given) >= len(takes) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return offered(byWord[takes[len(given)]], cmd, word)
		}
	}
	for name, from := range a.flagOffers() {
		if cmd.Flag(name) == nil {
			continue
		}
		_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
			return offered(from, cmd, word)
		})
	}
	for _, below := range cmd.Commands() {
		a.complete(below)
	}
}

// argumentsOf are the words of a command's Use that stand for arguments: in
// capitals, and not the value of a flag.
func argumentsOf(cmd *cobra.Command) []string {
	var takes []string
	words := strings.Fields(cmd.Use)
	for i, w := range words {
		if i > 0 && !strings.HasPrefix(words[i-1], "-") && strings.IndexFunc(w, func(r rune) bool { return !unicode.IsUpper(r) }) < 0 {
			takes = append(takes, w)
		}
	}
	return takes
}

// offered leaves files to the shell where there is nothing to offer.
func offered(from offer, cmd *cobra.Command, word string) ([]string, cobra.ShellCompDirective) {
	if from == nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	fit := slices.DeleteFunc(from(ctx, cmd, word), func(w string) bool { return !strings.HasPrefix(w, word) || strings.ContainsFunc(w, odd) })
	slices.Sort(fit)
	fit = slices.Compact(fit)
	return fit[:min(len(fit), mostOffered)], cobra.ShellCompDirectiveNoFileComp
}

// odd is what no name has that can be typed as it is: a shell might act on it.
func odd(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._:/@=+-", r)
}

// asking is an offer that comes from Temporal.
func (a *app) asking(ask func(ctx context.Context, conn *temporalclient.Connection, word string) []string) offer {
	return func(ctx context.Context, _ *cobra.Command, word string) []string {
		conn, err := a.connect(ctx)
		if err != nil {
			return nil
		}
		defer conn.Close()
		return ask(ctx, conn, word)
	}
}

// find is one page of the workflows of a type whose ID begins so.
func find(ctx context.Context, conn *temporalclient.Connection, kind, prefix, also string) []*workflow.WorkflowExecutionInfo {
	found, err := conn.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: mostOffered, Query: fmt.Sprintf("WorkflowType = '%s' AND WorkflowId STARTS_WITH '%s'%s", kind, safeQuery(prefix), also),
	})
	if err != nil {
		return nil
	}
	return found.GetExecutions()
}

func campaignNames(ctx context.Context, conn *temporalclient.Connection, word string) []string {
	var names []string
	for _, e := range find(ctx, conn, workflows.TypeCampaign, workflows.CampaignID(word), "") {
		names = append(names, strings.TrimPrefix(e.GetExecution().GetWorkflowId(), workflows.CampaignID("")))
	}
	return names
}

func planDigests(ctx context.Context, conn *temporalclient.Connection, _ string) []string {
	var digests []string
	for _, e := range find(ctx, conn, workflows.TypePlan, workflows.PlanID(""), "") {
		if digest := planDigest(e); digest != "" {
			digests = append(digests, digest)
		}
	}
	return digests
}

// zoneNames are the zones of the fleet file or, where none is named, those with
// an operation in Temporal, the newest first.
func (a *app) zoneNames(ctx context.Context, cmd *cobra.Command, word string) []string {
	var names []string
	if f := fleetOf(cmd); f != nil {
		for _, z := range f.Zones {
			names = append(names, string(z.ID))
		}
		return names
	}
	return a.asking(func(ctx context.Context, conn *temporalclient.Connection, word string) []string {
		for _, e := range find(ctx, conn, workflows.TypeZone, workflows.ZoneID(rotation.ZoneID(word)), "") {
			names = append(names, strings.TrimPrefix(e.GetExecution().GetWorkflowId(), workflows.ZoneID("")))
		}
		return names
	})(ctx, cmd, word)
}

// pagesAsked bounds how many pages of plans are read for the names of hosts.
const pagesAsked = 8

// hostNames are the hosts of the fleet file or, where none is named, those of
// pages that are open.
func (a *app) hostNames(ctx context.Context, cmd *cobra.Command, word string) []string {
	var names []string
	if f := fleetOf(cmd); f != nil {
		for name := range f.Hosts {
			names = append(names, string(name))
		}
		return names
	}
	return a.asking(func(ctx context.Context, conn *temporalclient.Connection, _ string) []string {
		pages := find(ctx, conn, workflows.TypePage, workflows.PlanID(""), " AND ExecutionStatus = 'Running'")
		for _, e := range pages[:min(len(pages), pagesAsked)] {
			for _, h := range pageAsStarted(ctx, conn, e.GetExecution()).Hosts {
				names = append(names, string(h.Name))
			}
		}
		return names
	})(ctx, cmd, word)
}

// pageAsStarted reads a page from its start event, for which no worker is needed.
func pageAsStarted(ctx context.Context, conn *temporalclient.Connection, e *common.WorkflowExecution) plan.Page {
	var in workflows.PageIn
	_ = temporalclient.Input(ctx, conn, e.GetWorkflowId(), e.GetRunId(), &in)
	return in.Page
}

// fleetOf is the fleet file that the command line names, if it can be read.
func fleetOf(cmd *cobra.Command) *fleet.Fleet {
	flag := cmd.Flag("fleet")
	if flag == nil || flag.Value.String() == "" {
		return nil
	}
	f, err := fleet.Read(flag.Value.String())
	if err != nil {
		return nil
	}
	return f
}

// locationNames are those that have a keyset here.
func locationNames(_ context.Context, cmd *cobra.Command, _ string) []string {
	var dir string
	if flag := cmd.Flag("keyring"); flag != nil {
		dir = flag.Value.String()
	}
	if dir == "" {
		dir, _ = seal.DefaultDir()
	}
	infos, err := seal.Show(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, info := range infos {
		if info.Location != "" {
			names = append(names, string(info.Location))
		}
	}
	return names
}
