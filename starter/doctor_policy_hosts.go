package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

// policyHosts is the word behind --policy for what hosts need.
const policyHosts = "hosts"

// sudoers is what hosts need on which a login becomes another user.
type sudoers struct {
	Hosts  []rotation.HostName `json:"hosts"`
	User   string              `json:"user"`
	Become string              `json:"become"`
	// Lines are a file of sudoers.
	Lines []string `json:"lines"`
}

// sudoersOf are those of a fleet, for each pair of users once.
func sudoersOf(f *fleet.Fleet) []sudoers {
	all := []sudoers{}
	for _, h := range f.Hosts {
		if h.SSH == nil || h.SSH.Become == "" {
			continue
		}
		i := slices.IndexFunc(all, func(s sudoers) bool { return s.User == h.SSH.User && s.Become == h.SSH.Become })
		if i < 0 {
			i = len(all)
			user := sudoersName(h.SSH.User)
			all = append(all, sudoers{User: h.SSH.User, Become: h.SSH.Become, Lines: []string{
				"Defaults:" + user + " !requiretty, !log_input",
				user + " ALL=(" + h.SSH.Become + ") NOPASSWD: /bin/sh",
			}})
		}
		all[i].Hosts = append(all[i].Hosts, h.Name)
	}
	for _, s := range all {
		slices.Sort(s.Hosts)
	}
	slices.SortFunc(all, func(a, b sudoers) int { return strings.Compare(string(a.Hosts[0]), string(b.Hosts[0])) })
	return all
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// sudoersName is a user as sudoers takes it.
func sudoersName(user string) string {
	if plainName.MatchString(user) {
		return user
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(user) + `"`
}

// showSudoers prints them as one text that visudo takes.
func showSudoers(w io.Writer, all []sudoers) {
	if len(all) == 0 {
		put(w, "# No host of this fleet becomes another user.\n")
	}
	for i, s := range all {
		if i > 0 {
			put(w, "\n")
		}
		put(w, "# On %s, as /etc/sudoers.d/keywave:\n", hostsInWords(s.Hosts))
		if s.Become == "root" {
			put(w, "# who logs in as this user is root there.\n")
		}
		for _, line := range s.Lines {
			put(w, "%s\n", line)
		}
	}
}

// hostsInWords are the first few.
func hostsInWords(hosts []rotation.HostName) string {
	var names []string
	for _, h := range hosts[:min(len(hosts), 8)] {
		names = append(names, string(h))
	}
	words := strings.Join(names, ", ")
	if more := len(hosts) - len(names); more > 0 {
		words += fmt.Sprintf(" and %d more", more)
	}
	return words
}

// showHostsPolicy says what sudoers needs on the hosts of a fleet file.
func (a *app) showHostsPolicy(fleetFile string) error {
	f, err := readFleet(fleetFile)
	if err != nil {
		return err
	}
	all := sudoersOf(f)
	return a.print(all, func(w io.Writer) { showSudoers(w, all) })
}
