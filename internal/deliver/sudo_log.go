package deliver

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// bound are Defaults that sudo lists for some users or commands only.
type bound struct {
	// kind says for what the Defaults hold: '>' for users that are become, '!'
	// for commands, '@' and ':' for hosts and logins. sudo lists the last two
	// only where they apply.
	kind byte
	// terms are first those for whom it holds, then what it sets. The last of the
	// first kind and the first of the second are one term.
	terms []string
}

var boundForm = regexp.MustCompile(`Defaults([>!@:])`)

// readBounds reads one line of `sudo -l`, which may hold several Defaults.
func readBounds(line string) []bound {
	var all []bound
	at := boundForm.FindAllStringIndex(line, -1)
	for i, where := range at {
		end := len(line)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		all = append(all, bound{line[where[1]-1], split(line[where[1]:end])})
	}
	return all
}

// isFor says whether the Defaults apply to a program that is run as user.
func (b bound) isFor(user, program string) bool {
	return slices.ContainsFunc(b.terms, func(term string) bool {
		first, _, _ := strings.Cut(term, " ")
		switch b.kind {
		case '>':
			return first == user || first == "ALL" || strings.ContainsAny(first[:min(1, len(first))], "%#+")
		case '!':
			return path.Base(first) == program || first == "ALL"
		}
		return true
	})
}

// keeping says whether one setting of sudo makes it store what it passes on.
// unknown means that the setting says nothing about that.
func keeping(setting string) answer {
	words := strings.Fields(setting)
	if len(words) == 0 {
		return unknown
	}
	switch words[len(words)-1] {
	case "log_input", "log_stdin":
		return yes
	case "!log_input", "!log_stdin":
		return no
	}
	return unknown
}

// records says whether sudo stores the standard input of a program that it runs
// as user. It reads the Defaults for everything, then those for users and
// commands, then the options of the rules; a later one overrides. unknown means
// that sudo does not list its rules.
func (b ruleBook) records(user, program string) answer {
	if !b.listed {
		return unknown
	}
	state := no
	hear := func(settings []string) {
		for _, s := range settings {
			if k := keeping(s); k != unknown {
				state = k
			}
		}
	}
	hear(b.settings)
	for _, d := range b.bounds {
		if d.isFor(user, program) {
			hear(d.terms)
		}
	}
	for _, r := range b.rules {
		if r.runs(user, program) {
			hear(r.options)
		}
	}
	return state
}

// runs says whether sudo may run a program as user by this rule, in whatever
// directory the program is.
func (r rule) runs(user, program string) bool {
	return slices.ContainsFunc(r.users, func(u string) bool { return u == user || u == "ALL" || strings.ContainsAny(u[:min(1, len(u))], "%#+") }) &&
		slices.ContainsFunc(r.commands, func(c string) bool {
			first, _, _ := strings.Cut(c, " ")
			return first == "ALL" || strings.HasSuffix(first, "/") || path.Base(first) == program
		})
}
