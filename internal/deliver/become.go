package deliver

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"keywave/internal/rotation"
)

// becomeForm is the form of a user's name that sudo may be given. Dropbear's
// limit for a command leaves no room for a longer name, and useradd makes none.
var becomeForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)

// CheckBecome says what is wrong with the name of the user that the script is
// to become. An empty name is the login itself.
func CheckBecome(user string) error {
	if user == "" || becomeForm.MatchString(user) {
		return nil
	}
	return fmt.Errorf("become: %q is not a user's name of at most 32 letters, digits and _.-", user)
}

// sudoSays is what a host's sudo answered when the login asked it before a
// proof.
type sudoSays struct {
	// refusal is why sudo would not run the script. password is the failure to
	// report when sudo then wants a password, which it may not have said
	// beforehand.
	refusal, password error
	// notes are what could not be seen.
	notes []string
}

// explain says why a proof failed, if the reason is that sudo did not begin the
// script.
func (s sudoSays) explain(a Answer, err error) error {
	switch {
	case a.Begun || a.Status == "":
		return err
	case s.refusal != nil:
		return s.refusal
	case s.password != nil && strings.Contains(a.Noise, "password is required"):
		return s.password
	}
	return err
}

// askSudo asks sudo, as the login, whether it lets the script become another
// user. It fails where sudo would store what it passes on, because that would
// be a key.
func (c *Courier) askSudo(ctx context.Context) (says sudoSays, err error) {
	if c.Become == "" {
		return says, nil
	}
	login := &Courier{Host: c.Host, User: c.Login, Settings: c.Settings, Channel: c.Channel, asLogin: true}
	order := asks(rotation.StepAuth, "sudo -n -u "+c.Become+" sh -c :")
	questions := append(order, question{kind: askRules, shell: "LC_ALL=C sudo -n -ll"},
		question{kind: askPlugins, shell: "grep '^[[:space:]]*Plugin' /etc/sudo.conf"})
	a, err := login.look(ctx, "held", nil, questions, nil)
	if err != nil {
		return says, err
	}
	switch rulesIn(questions, a).records(c.Become, "sh") {
	case yes:
		return says, login.failed(rotation.StepAuth, fmt.Sprintf("sudo logs the input of what it runs (log_input), which would store the key; write Defaults:%s !log_input into sudoers and take LOG_INPUT: off the rule, or log in as %s; nothing was sent", c.Login, c.Become))
	case unknown:
		says.notes = append(says.notes, c.Channel.Says("whether sudo logs the input of what it runs (log_input), which would store the key, cannot be seen; see sudo -l as user "+c.Login))
	}
	if others := otherPlugins(questions, a); others != "" {
		says.notes = append(says.notes, c.Channel.Says("sudo.conf loads other plugins than sudo's own ("+others+"); whether they store the input of what sudo runs, which would be the key, cannot be seen"))
	}
	_, says.refusal = login.judge(questions, a)
	_, says.password = login.permitted(order[len(order)-1], &reply{status: "1", lines: []string{"a password is required"}}, ruleBook{})
	return says, nil
}

// otherPlugins are the plugins of sudo.conf, besides sudo's own, that may see
// what sudo passes on.
func otherPlugins(questions []question, a Answer) string {
	var others []string
	for _, line := range a.repliesTo(questions, askPlugins) {
		if words := strings.Fields(line); len(words) > 1 && !strings.HasPrefix(words[1], "sudoers_") {
			others = append(others, Scrub(words[1]))
		}
	}
	return strings.Join(others, ", ")
}

// ofSudo matches the last line that sudo prints when it does not run a command.
var ofSudo = regexp.MustCompile(`sudo|Sorry, user|' as \S+ on \S+\.`)

// sudoRanNothing is the error for a script that sudo did not begin.
func (c *Courier) sudoRanNothing(a Answer) error {
	how := fmt.Sprintf("lets us in, but sudo did not run our script as user %s: it ended with %s", c.Become, a.Status)
	return c.failed(rotation.StepAuth, CommandFailed(how, a.Noise, rotation.Secret{})+"; nothing was changed; what sudoers needs: keywave doctor --policy hosts")
}
