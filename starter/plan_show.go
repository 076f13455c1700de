package main

import (
	"fmt"
	"io"
	"strings"

	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/rotation"
)

func showPlan(w io.Writer, p plan.Plan, also planning.Elsewhere) {
	if p.Found > 0 {
		put(w, "Problems first (%d):\n", p.Found)
		for _, f := range p.Findings {
			put(w, "  %s\n", finding(f))
		}
		if more := p.Found - len(p.Findings); more > 0 {
			put(w, "  … and %d more\n", more)
		}
		put(w, "\n")
	}
	put(w, "Plan %s\n", p.Name)
	put(w, "  digest    %s\n", p.Digest)
	for _, a := range p.Accounts {
		put(w, "  account   %s: %s, %g calls a second\n", a.Account, many(a.Zones, "zone"), a.Limit)
	}
	put(w, "  zones     %d on %d hosts (%d deliveries)\n", p.Zones, p.Hosts, p.Pairs)
	if p.Source != "" {
		put(w, "  from      %s\n", p.Source)
	}
	for i, wave := range p.Waves {
		note := harmless.Own("")
		if i == 0 {
			note = "  (canary)"
		}
		for _, n := range p.Settings.Approve {
			if n == i+1 {
				note += "  waits for approval"
			}
		}
		put(w, "  wave %-4d %s%s\n", i+1, many(wave.Zones, "zone"), note)
	}
	budget, err := p.Settings.Budget(p.Zones)
	if err == nil {
		put(w, "  budget    pauses at more than %d failed or %d exposed zones; at most %d zones are at risk at once\n", budget.MaxFailed, budget.MaxExposed, p.Settings.Window*len(p.Accounts))
	}
	put(w, "  time      about %s at each account's own pace, bake times included; waits for people come on top\n", p.Takes)
	showStrategy(w, p)
	if hours := hoursOf(p.Settings); hours != "" {
		put(w, "  hours     %s\n", hours)
	}
	if len(p.Settings.Health) > 0 {
		put(w, "  health    %s, before each next wave\n", strings.Join(p.Settings.Health, ", "))
	}
	for i, text := range also.Texts {
		name := ""
		if i == 0 {
			name = "elsewhere"
		}
		put(w, "  %-9s %s\n", name, text)
	}
	put(w, "\nNothing was changed. %s\n", nextOf(p, also))
}

// showStrategy says how keys are changed, and what that costs clients and time.
func showStrategy(w io.Writer, p plan.Plan) {
	if p.Settings.Strategy != rotation.Staged {
		put(w, "  exposure  each zone's clients are locked out for one API call and at most 3 round trips to its hosts, and for their reload\n")
		return
	}
	put(w, "  strategy  staged: the account's worker makes each key, and it lies on every host before EdgeOne takes it\n")
	put(w, "  exposure  each zone's clients are locked out for one API call, a rename on its hosts, and their reload\n")
	if kept := p.Settings.RollbackFor; kept > 0 {
		put(w, "  former    each key that is replaced is kept for %s: keywave campaign rollback puts them back; so may, for that long, whoever can write to Temporal\n", kept)
		put(w, "            it costs a second read of each zone, so the pace is half\n")
	}
}

// nextOf is what to do with a plan: it is run where something would come of it.
func nextOf(p plan.Plan, also planning.Elsewhere) harmless.Own {
	run := harmless.Own(harmless.Sprintf(harmless.Terminal, "  keywave campaign start --plan %s --watch", p.Digest))
	if also.Zones > 0 {
		run += harmless.Own(fmt.Sprintf(" --also-rotated --reason \"…\"\nWithout --also-rotated it is refused while %d of %s belong to other campaigns too, or were rotated just now.", also.Zones, many(p.Zones, "zone")))
	}
	switch p.Unready {
	case 0:
		return "Run it:\n" + run
	case p.Zones:
		return "None of its zones would be rotated now: mend what is named first, then plan again."
	}
	return harmless.Own(fmt.Sprintf("%d of %s would not be rotated now: mend what is named first, then plan again; or run it for the others:\n%s", p.Unready, many(p.Zones, "zone"), run))
}

// unready says that a plan would not rotate all of its zones as things are.
func unready(p plan.Plan) error {
	if p.Unready == 0 {
		return nil
	}
	return notDone(fmt.Errorf("%d of %s would not be rotated now; nothing was changed", p.Unready, many(p.Zones, "zone")))
}

// hoursOf is when refreshes may start.
func hoursOf(s plan.Settings) string {
	hours := strings.Join(s.Windows, ", ")
	if len(s.Freeze) > 0 {
		hours = strings.TrimPrefix(hours+"; not on "+strings.Join(s.Freeze, ", "), "; ")
	}
	return hours
}

func finding(f plan.Finding) string {
	where := ""
	if f.Zone != "" {
		where = string(f.Zone) + " "
	}
	if f.Host != "" {
		where += "host " + string(f.Host) + " "
	}
	if where == "" {
		return f.Text
	}
	return where[:len(where)-1] + ": " + f.Text
}
