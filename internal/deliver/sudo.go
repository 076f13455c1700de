package deliver

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"keywave/internal/rotation"
)

// permitted reads sudo's answer to the question whether it will run a command.
// sudo lists without a password as long as any rule of the user needs none. So
// the rules themselves must tell whether this command needs one.
func (c *Courier) permitted(q question, r *reply, rules ruleBook) (note string, err error) {
	said := strings.TrimSpace(strings.Join(r.lines, " "))
	no := func(why, remedy string) (string, error) {
		return "", c.failed(q.step, fmt.Sprintf("sudo %s %q as user %s; %s, or %s", why, q.subject, c.User, remedy, q.instead()))
	}
	command := strings.TrimSpace(last(r.lines))
	switch {
	case strings.Contains(said, "must have a tty"), r.status == "0" && rules.needsTerminal(command):
		return no("wants a terminal for", "write Defaults:"+c.User+" !requiretty into sudoers")
	case strings.Contains(said, "usage: "), strings.Contains(said, "illegal option"), strings.Contains(said, "unknown option"):
		return c.Channel.Says(fmt.Sprintf("sudo cannot be asked beforehand about %q, the proof does not cover it", q.subject)), nil
	case strings.Contains(said, "command not found"):
		return no("says "+Scrub(lineWith(r.lines, "command not found"))+" to", "install it, or name its directory in secure_path of sudoers")
	case strings.Contains(said, "unknown user"), strings.Contains(said, "unknown group"):
		return no("says "+Scrub(lineWith(r.lines, "unknown "))+" to", "make it")
	case strings.Contains(said, "password is required"), strings.Contains(said, "no tty present"):
		return no("wants a password for", c.remedy(q, command))
	case r.status != "0":
		return no("does not permit", c.remedy(q, command))
	}
	switch rules.authenticates(q.user, command) {
	case yes:
		return no("wants a password for", c.remedy(q, command))
	case unknown:
		return c.Channel.Says(fmt.Sprintf("sudo permits %q, but whether it wants a password for it cannot be seen", q.subject)), nil
	}
	return "", nil
}

// remedy says which rule is missing in sudoers.
func (c *Courier) remedy(q question, command string) string {
	switch {
	case q.step == rotation.StepAuth:
		command = "/bin/sh"
	case !path.IsAbs(command):
		command = "/path/to/the/command"
	}
	return fmt.Sprintf("write %s ALL=(%s) NOPASSWD: %s into sudoers", c.User, q.user, Scrub(command))
}

// lineWith is the first line that contains words.
func lineWith(lines []string, words string) string {
	return lines[max(0, slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, words) }))]
}

func last(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.TrimSpace(lines[i]) != "" {
			return lines[i]
		}
	}
	return ""
}

type answer int

const (
	unknown answer = iota
	yes
	no
)

// ruleBook is what `sudo -ll` prints.
type ruleBook struct {
	rules []rule
	// listed says that sudo did list its rules.
	listed bool
	// settings are the Defaults for everything; bounds are the Defaults for some
	// users or commands.
	settings []string
	bounds   []bound
}

// rule is one entry: as which users it lets run, and whether sudo asks for a
// password.
type rule struct {
	users    []string
	password bool
	options  []string
	commands []string
}

// readRules reads entries, each with its indented fields. A later entry
// overrides an earlier one.
func readRules(lines []string) ruleBook {
	var book ruleBook
	var now *rule
	password, listing := true, false
	for _, line := range lines {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if now == nil && !boundForm.MatchString(line) {
			book.settings = append(book.settings, split(line)...)
		}
		switch {
		case boundForm.MatchString(line):
			book.bounds = append(book.bounds, readBounds(line)...)
		case strings.Contains(line, "may run the following commands"):
			book.listed = true
		case now == nil && strings.Contains(" "+strings.ReplaceAll(strings.TrimSpace(line), ",", " ")+" ", " !authenticate "):
			password = false
		case strings.HasPrefix(field, "Sudoers entry"), strings.HasPrefix(field, "LDAP Role"), strings.HasPrefix(field, "SSSD Role"):
			book.rules = append(book.rules, rule{password: password, users: []string{"root"}})
			now, listing = &book.rules[len(book.rules)-1], false
		case now == nil || field == "":
		case field == "RunAsUsers":
			now.users = split(value)
		case field == "Options":
			now.options = split(value)
			for _, option := range now.options {
				if option == "authenticate" || option == "!authenticate" {
					now.password = option == "authenticate"
				}
			}
		case field == "Commands:":
			listing = true
		case listing:
			now.commands = append(now.commands, strings.TrimSpace(line))
		}
	}
	return book
}

func split(list string) []string {
	var all []string
	for _, one := range strings.Split(list, ",") {
		all = append(all, strings.TrimSpace(one))
	}
	return all
}

// authenticates says whether sudo asks for a password before it runs command as user.
func (b ruleBook) authenticates(user, command string) answer {
	asks, differ := unknown, false
	for i, r := range b.rules {
		differ = differ || i > 0 && r.password != b.rules[0].password
		if r.covers(user, command) {
			asks = no
			if r.password {
				asks = yes
			}
		}
	}
	switch {
	case asks != unknown || len(b.rules) == 0 || differ:
		return asks
	case b.rules[0].password:
		return yes
	}
	return no
}

func (b ruleBook) needsTerminal(command string) bool {
	for _, d := range b.bounds {
		if d.kind != '!' || !slices.ContainsFunc(d.terms, func(t string) bool { return t == "requiretty" || strings.HasSuffix(t, " requiretty") }) {
			continue
		}
		for _, term := range d.terms {
			if pattern, _, _ := strings.Cut(term, " "); matches(pattern, command) {
				return true
			}
		}
	}
	return false
}

func (r rule) covers(user, command string) bool {
	for _, u := range r.users {
		if u != "ALL" && u != user {
			continue
		}
		for _, pattern := range r.commands {
			if matches(pattern, command) {
				return true
			}
		}
	}
	return false
}

// matches reads a command of sudoers: ALL, a path with any words, a path with
// its own words, or a directory. Wildcards of a shell are allowed.
func matches(pattern, command string) bool {
	program, _, _ := strings.Cut(command, " ")
	switch wanted, words, has := strings.Cut(strings.ReplaceAll(pattern, `\`, ""), " "); {
	case pattern == "ALL":
		return true
	case strings.HasSuffix(wanted, "/"):
		return path.Dir(program)+"/" == wanted
	case !has:
		ok, _ := path.Match(wanted, program)
		return ok
	case words == `""`:
		return wanted == command
	default:
		// In arguments, a wildcard matches a slash too.
		ok, _ := path.Match(strings.ReplaceAll(wanted+" "+words, "/", "\x01"), strings.ReplaceAll(command, "/", "\x01"))
		return ok
	}
}
