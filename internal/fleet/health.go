package fleet

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"keywave/internal/rotation"
)

// Check is a question that is asked between two waves: does what the zones
// serve work well? Exactly one of HTTP and Command is set.
type Check struct {
	// HTTP is a URL that answers 2xx.
	HTTP string
	// Command is a shell command, run by the account's worker, that exits 0.
	Command string
	// Within is how long it may take.
	Within time.Duration
}

const checkWithin = 10 * time.Second

func checkFields() section {
	return section{
		{"http", single(), "A URL that answers 2xx."},
		{"command", single(), "A shell command, run by the account's worker, that exits 0."},
		{"within", aSpan(), "How long it may take; default: 10s."},
	}
}

func checkMapping() schema {
	check := checkFields().mapping()
	check["oneOf"] = []schema{{"required": []string{"http"}}, {"required": []string{"command"}}}
	return check
}

// health is the fleet file's checks, by name.
func (r *reader) health(n *yaml.Node) map[string]Check {
	const what = "health"
	var checks map[string]Check
	for _, e := range r.entries(n, what) {
		where := what + ": " + e.key
		in := r.fields(e.value, where, checkFields().names()...)
		if (in["http"] == nil) == (in["command"] == nil) {
			r.say(e.value, where, "give http or command, one of them")
		}
		if checks == nil {
			checks = map[string]Check{}
		}
		checks[e.key] = Check{
			HTTP:    value(r, in["http"], where+": http", "", webAddress),
			Command: value(r, in["command"], where+": command", "", notEmpty),
			Within:  value(r, in["within"], where+": within", checkWithin, within(100*time.Millisecond, 5*time.Minute)),
		}
	}
	return checks
}

// checks is the campaign's list of names of health checks.
func (r *reader) checks(n *yaml.Node, what string, known map[string]Check) []string {
	var list []string
	for _, item := range r.items(n, what) {
		check := value(r, item, what, "", func(s string) (string, error) {
			if _, ok := known[s]; !ok {
				return "", fmt.Errorf("no check is named %q; describe it under health", s)
			}
			return s, nil
		})
		if slices.Contains(list, check) && check != "" {
			r.say(item, what, "%s is here twice; remove one", check)
		}
		list = append(list, check)
	}
	return list
}

// occasions is the list of events of which people elsewhere are told.
func (r *reader) occasions(n *yaml.Node, what string) []string {
	var list []string
	for _, item := range r.items(n, what) {
		list = append(list, value(r, item, what, "", oneOf("occasion", occasionNames()...)))
	}
	return list
}

func occasionNames() []string {
	names := make([]string, 0, len(rotation.Occasions()))
	for _, o := range rotation.Occasions() {
		names = append(names, string(o))
	}
	return names
}

func webAddress(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("%q is not an http:// or https:// address without a password", s)
	}
	return s, nil
}

func boolean(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, fmt.Errorf("%q is neither true nor false", s)
	}
	return s == "true", nil
}

func notEmpty(s string) (string, error) {
	if s == "" {
		return "", errors.New("is empty; write a shell command")
	}
	return s, nil
}

func within(least, most time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := span(least, most)(s)
		return d.D(), err
	}
}
