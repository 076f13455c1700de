package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// FleetFile is the world's fleet file (YAML, version 1): this account, these
// hosts with their keys pinned, these zones.
func (w *World) FleetFile() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The fleet of the simulator in %s.\n", w.cfg.Dir)
	b.WriteString("version: 1\n" + w.accountLines() + `defaults:
  ssh: {user: edge, mode: "0600"}
locations:
`)
	for _, location := range w.locations() {
		fmt.Fprintf(&b, "  %s:\n    hosts:\n", location)
		for _, name := range w.hostsIn(location) {
			h := w.Hosts.Host(name)
			fmt.Fprintf(&b, "      %s: {ssh: {address: %s, hostKey: %s, path: %s, reload: %s}}\n",
				name, quote(h.Addr()), quote(h.HostKey()), quote(h.KeyFile("{zone}")), quote(shellWord(h.ReloadCommand())))
		}
	}
	b.WriteString("zones:\n")
	for i, z := range w.plan.Zones {
		account, labels := "", ""
		if z.Account != "" {
			account = ", account: " + z.Account
		}
		if i == 0 {
			labels = ", labels: {tier: canary}"
		}
		fmt.Fprintf(&b, "  - {id: %s, name: %s%s, hosts: [%s]%s}\n", z.ID, z.Name, account, strings.Join(z.Hosts, ", "), labels)
	}
	if w.cfg.Campaign != "" {
		fmt.Fprintf(&b, "campaign: %s\n", w.cfg.Campaign)
	}
	return b.String()
}

func (w *World) accountLines() string {
	if len(w.plan.Accounts) == 0 {
		return fmt.Sprintf(`account:
  name: default
  endpoint: %s
  credentials: profile
  requestsPerSecond: %d
`, w.Endpoint(), w.pace(0))
	}
	lines := "accounts:\n"
	for i, name := range w.plan.Accounts {
		lines += fmt.Sprintf("  - {name: %s, endpoint: %s, credentials: %s, requestsPerSecond: %d}\n", name, quote(w.Endpoint()), []string{"profile", "env"}[i], w.pace(i))
	}
	return lines
}

// pace is an account's limit, or the real one where the simulator has no limit.
func (w *World) pace(i int) int {
	limit := w.limitOf(i)
	if limit == 0 {
		limit = w.EdgeOne.State().Limit
	}
	if limit > 0 {
		return limit
	}
	return 20
}

func (w *World) locations() []string {
	var names []string
	for _, h := range w.plan.Hosts {
		if !slices.Contains(names, h.Location) {
			names = append(names, h.Location)
		}
	}
	return names
}

func (w *World) hostsIn(location string) []string {
	var names []string
	for _, h := range w.plan.Hosts {
		if h.Location == location {
			names = append(names, h.Name)
		}
	}
	return names
}

// quote makes a double-quoted text of YAML. A JSON text is one too.
func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// shellWord quotes s for sh where that is needed.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
