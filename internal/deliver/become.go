package deliver

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"keywave/internal/rotation"
)

// becomeForm is a user that sudo may be asked for. What Dropbear takes as a command
// leaves room for no longer name, and useradd makes none.
var becomeForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)

// CheckBecome says what is wrong with the name of a user that the script is to become;
// empty is the login itself.
func CheckBecome(user string) error {
	if user == "" || becomeForm.MatchString(user) {
		return nil
	}
	return fmt.Errorf("become: %q is not a user's name of at most 32 letters, digits and _.-", user)
}

// sudoSays is what a host's sudo answered, asked by the login before a proof.
type sudoSays struct {
	// refusal is why sudo will not run the script, should it not have run; password is
	// that it wants one, which it may not have said beforehand.
	refusal, password error
	// notes are what could not be seen.
	notes []string
}

// explain is why a proof failed, where sudo has kept the script from beginning.
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

// askSudo asks sudo, as the login, whether it lets the script become another user, and
// fails where sudo would keep what it is given: that would be a key.
func (c *Courier) askSudo(ctx context.Context) (says sudoSays, err error) {
	if c.Become == "" {
		return says, nil
	}
	login := &Courier{Host: c.Host, User: c.Login, Settings: c.Settings, Channel: c.Channel, asLogin: true}
	order := asks(rotation.StepAuth, "sudo -n -u "+c.Become+" sh -c :")
	questions := append(order, question{kind: askRules, shell: "LC_ALL=C sudo -n -ll"},
		question{kind: askPlugins, shell: "grep '^[[:space:]]*Plugin' /etc/sudo.conf"})
	a, err := login.look(ctx, "held", questions, nil)
	if err != nil {
		return says, err
	}
	switch rulesIn(questions, a).records(c.Become, "sh") {
	case yes:
		return says, login.failed(rotation.StepAuth, fmt.Sprintf("sudo keeps what it hands on (log_input), which would store the key; write Defaults:%s !log_input into sudoers and take LOG_INPUT: off the rule, or log in as %s; nothing was sent", c.Login, c.Become))
	case unknown:
		says.notes = append(says.notes, c.Channel.Says("whether sudo keeps what it hands on (log_input), which would be the key, cannot be seen; see sudo -l as user "+c.Login))
	}
	if others := otherPlugins(questions, a); others != "" {
		says.notes = append(says.notes, c.Channel.Says("sudo.conf loads other plugins than sudo's own ("+others+"); whether they keep what sudo hands on, which would be the key, cannot be seen"))
	}
	_, says.refusal = login.judge(questions, a)
	_, says.password = login.permitted(order[len(order)-1], &reply{status: "1", lines: []string{"a password is required"}}, ruleBook{})
	return says, nil
}

// otherPlugins are those of sudo.conf that may see what sudo hands on, beside its own.
func otherPlugins(questions []question, a Answer) string {
	var others []string
	for _, line := range a.repliesTo(questions, askPlugins) {
		if words := strings.Fields(line); len(words) > 1 && !strings.HasPrefix(words[1], "sudoers_") {
			others = append(others, Scrub(words[1]))
		}
	}
	return strings.Join(others, ", ")
}

// ofSudo is in what sudo says when it does not run a command, as its last line.
var ofSudo = regexp.MustCompile(`sudo|Sorry, user|' as \S+ on \S+\.`)

// sudoRanNothing is a script that sudo did not begin.
func (c *Courier) sudoRanNothing(a Answer) error {
	how := fmt.Sprintf("lets us in, but sudo did not run our script as user %s: it ended with %s", c.Become, a.Status)
	return c.failed(rotation.StepAuth, CommandFailed(how, a.Noise, rotation.Secret{})+"; nothing was changed; what sudoers needs: keywave doctor --policy hosts")
}
