package deliver

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"keywave/internal/rotation"
)

// question is what a proof asks a host about a command that a delivery will run.
type question struct {
	kind questionKind
	// step is the step that fails when the answer is no.
	step rotation.HostStep
	// shell is the command that asks. It changes nothing.
	shell string
	// subject is the program or the command that is asked about.
	subject string
	// user is whom sudo is to run the command as.
	user string
}

type questionKind int

const (
	askTools   questionKind = iota // prints what is missing
	askProgram                     // succeeds when the program is there
	askSudo                        // prints the command that sudo allows
	askRules                       // prints the user's rules
	askPlugins                     // prints the plugins that sudo loads
	unaskable                      // cannot be asked beforehand
)

// tools are what the script runs.
const tools = "sha256sum mv rm cp chmod chown chgrp sync ls rmdir readlink cut df mkdir sleep"

// questions are all questions of a proof: about the script's tools and about
// the commands of the settings.
func (c *Courier) questions() []question {
	all := []question{{
		kind: askTools, step: rotation.StepWrite,
		shell: "for t in " + tools + "; do command -v $t >/dev/null || echo $t; done",
	}}
	for _, command := range []struct {
		step  rotation.HostStep
		shell string
	}{{rotation.StepReload, c.Settings.Reload}, {rotation.StepVerify, c.Settings.Verify}} {
		all = append(all, asks(command.step, command.shell)...)
	}
	if slices.ContainsFunc(all, func(q question) bool { return q.kind == askSudo }) {
		all = append(all, question{kind: askRules, shell: "LC_ALL=C sudo -n -ll"})
	}
	return all
}

// asks are the questions about one command: whether the program that it starts with
// is there, and whether sudo will run what is given to it.
func asks(step rotation.HostStep, shell string) []question {
	var all []question
	for i, s := range simples(shell) {
		if len(s.words) == 0 || i > 0 && (!s.sure || path.Base(plain(s.words[0])) != "sudo") {
			continue
		}
		env := strings.Join(s.assigns, "\n") + "\n"
		all = append(all, question{kind: askProgram, step: step, subject: plain(s.words[0]), shell: env + "w=" + s.words[0] +
			"\ncase $w in */*) [ -f \"$w\" ] && [ -x \"$w\" ] ;; *) command -v \"$w\" >/dev/null ;; esac"})
		if path.Base(plain(s.words[0])) == "sudo" {
			all = append(all, askOfSudo(step, env, s.words))
		}
	}
	return all
}

// askOfSudo asks whether sudo would run the words after its own, with the user
// and group that they name. sudo takes no other option for that question.
func askOfSudo(step rotation.HostStep, env string, words []string) question {
	q := question{kind: askSudo, step: step, user: "root", subject: strings.Join(words, " ")}
	order, ok := sudoOrder(words[1:])
	if !ok {
		q.kind = unaskable
		return q
	}
	ask := []string{"LC_ALL=C", words[0], "-n", "-l"}
	if order.user != "" {
		q.user, ask = plain(order.user), append(ask, "-u", order.user)
	}
	if order.group != "" {
		ask = append(ask, "-g", order.group)
	}
	q.shell = env + strings.Join(append(append(ask, "--"), order.command...), " ")
	return q
}

// sudoWords is what the words of a sudo command mean.
type sudoWords struct {
	user, group string
	command     []string
}

// sudo's options, by whether a value follows; and those about which sudo tells
// nothing before it runs something.
const (
	sudoValued = "CDghpRrTtUu"
	sudoFlags  = "ABbEHkNnPS"
)

var sudoLong = map[string]byte{
	"close-from": 'C', "chdir": 'D', "group": 'g', "host": 'h', "prompt": 'p', "chroot": 'R', "role": 'r',
	"command-timeout": 'T', "type": 't', "other-user": 'U', "user": 'u',
	"askpass": 'A', "bell": 'B', "background": 'b', "preserve-env": 'E', "set-home": 'H', "reset-timestamp": 'k',
	"no-update": 'N', "non-interactive": 'n', "preserve-groups": 'P', "stdin": 'S',
}

// sudoOrder reads sudo's words as its manual describes them. It returns false
// for a form that sudo cannot be asked about: a shell, a list, or an option
// that is not known here.
func sudoOrder(words []string) (order sudoWords, ok bool) {
	take := func(option byte, value string) {
		switch option {
		case 'u':
			order.user = value
		case 'g':
			order.group = value
		}
	}
	for len(words) > 0 {
		word := words[0]
		bare := plain(word)
		words = words[1:]
		switch {
		case bare == "--":
			order.command = words
			return order, len(words) > 0
		case strings.HasPrefix(bare, "--"):
			name, value, has := strings.Cut(bare[2:], "=")
			option := sudoLong[name]
			switch {
			case option == 0:
				return order, false
			case has || !strings.ContainsRune(sudoValued, rune(option)):
				take(option, quote(value))
			case len(words) == 0:
				return order, false
			default:
				take(option, words[0])
				words = words[1:]
			}
		case strings.HasPrefix(bare, "-") && len(bare) > 1:
			rest, known := sudoCluster(bare[1:], &words, take)
			if !known || rest {
				return order, false
			}
		case assignment.MatchString(bare):
		default:
			order.command = append([]string{word}, words...)
			return order, true
		}
	}
	return order, false
}

// sudoCluster reads short options that are written together. An option's value
// is the rest of the word, or the next word.
func sudoCluster(options string, words *[]string, take func(byte, string)) (missing, known bool) {
	for i := range len(options) {
		option := options[i]
		switch {
		case strings.IndexByte(sudoFlags, option) >= 0:
		case strings.IndexByte(sudoValued, option) < 0:
			return false, false
		case i+1 < len(options):
			take(option, quote(options[i+1:]))
			return false, true
		case len(*words) == 0:
			return true, true
		default:
			take(option, (*words)[0])
			*words = (*words)[1:]
		}
	}
	return false, true
}

// simple is one simple command of a shell text. Each word is as it is written
// there.
type simple struct {
	assigns []string
	words   []string
	// sure says that the command runs whenever those before it succeed.
	sure bool
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// prefixes run the words behind them.
var prefixes = []string{"exec", "command", "nohup", "env", "time", "!", "{", "then", "do", "else", "if", "elif", "while", "until"}

// conditions are words after which a command may not run.
var conditions = []string{"then", "do", "else", "elif", "while", "until"}

// beyond are words after which nothing is read any more.
var beyond = []string{"for", "case", "select", "function", "[[", "((", "fi", "done", "esac", "}"}

// simples reads a shell text as long as it consists of plain commands. It ends
// where only a shell can tell what a word becomes.
func simples(shell string) []simple {
	var all []simple
	now, sure := simple{sure: true}, true
	end := func() {
		if len(now.words)+len(now.assigns) > 0 {
			all = append(all, now)
		}
		now = simple{sure: sure}
	}
	l := lexer{text: shell}
	for {
		word, kind := l.next()
		switch kind {
		case tokenEnd:
			end()
			return all
		case tokenOpaque:
			return all
		case tokenOperator:
			if word == "||" || word == "&" {
				sure = false
			}
			end()
			continue
		}
		switch {
		case len(now.words) == 0 && slices.Contains(beyond, word):
			return all
		case len(now.words) == 0 && slices.Contains(prefixes, word):
			if slices.Contains(conditions, word) {
				sure, now.sure = false, false
			}
		case len(now.words) == 0 && assignment.MatchString(word):
			now.assigns = append(now.assigns, word)
		default:
			now.words = append(now.words, word)
		}
	}
}

type token int

const (
	tokenWord token = iota
	tokenOperator
	tokenEnd
	tokenOpaque // what only a shell can read
)

// lexer cuts a shell text into operators and words, which stay as they are
// written. It leaves out redirections and comments.
type lexer struct {
	text string
	at   int
}

func (l *lexer) next() (string, token) {
	for l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case c == ' ' || c == '\t':
			l.at++
		case c == '\n' || strings.IndexByte(";&|()", c) >= 0:
			return l.operator(), tokenOperator
		case c == '<' || c == '>':
			if kind := l.redirection(); kind != tokenWord {
				return "", kind
			}
		case c == '#':
			for l.at < len(l.text) && l.text[l.at] != '\n' {
				l.at++
			}
		default:
			word, kind := l.word()
			if kind == tokenWord && l.at < len(l.text) && strings.IndexByte("<>", l.text[l.at]) >= 0 && strings.Trim(word, "0123456789") == "" {
				continue // the number of a redirection
			}
			return word, kind
		}
	}
	return "", tokenEnd
}

func (l *lexer) operator() string {
	begin := l.at
	l.at++
	if c := l.text[begin]; (c == '&' || c == '|') && l.at < len(l.text) && l.text[l.at] == c {
		l.at++
	}
	return l.text[begin:l.at]
}

// redirection passes over an operator and its word.
func (l *lexer) redirection() token {
	begin := l.at
	for l.at < len(l.text) && strings.IndexByte("<>&|", l.text[l.at]) >= 0 {
		l.at++
	}
	if strings.HasPrefix(l.text[begin:l.at], "<<") || l.at < len(l.text) && l.text[l.at] == '(' {
		return tokenOpaque
	}
	for l.at < len(l.text) && l.text[l.at] == ' ' {
		l.at++
	}
	_, kind := l.word()
	return kind
}

// word reads to the next space or operator outside of quotes.
func (l *lexer) word() (string, token) {
	begin, quoted := l.at, byte(0)
	for ; l.at < len(l.text); l.at++ {
		c := l.text[l.at]
		switch {
		case c == '`' && quoted != '\'', c == '$' && quoted != '\'' && strings.HasPrefix(l.text[l.at:], "$("):
			return "", tokenOpaque
		case quoted == '\'' && c != '\'':
		case c == '\\' && l.at+1 < len(l.text):
			l.at++
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '\'' || c == '"':
			quoted = c
		case strings.IndexByte(" \t\n;&|()<>", c) >= 0:
			return l.text[begin:l.at], tokenWord
		}
	}
	if quoted != 0 {
		return "", tokenOpaque
	}
	return l.text[begin:l.at], tokenWord
}

// plain is a word without its quotes.
func plain(word string) string {
	var b strings.Builder
	quoted := byte(0)
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == quoted:
			quoted = 0
		case quoted == 0 && (c == '\'' || c == '"'):
			quoted = c
		case c == '\\' && quoted != '\'' && i+1 < len(word):
			i++
			b.WriteByte(word[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// instead says what else a person can do where a command is not permitted.
func (q question) instead() string {
	if q.step == rotation.StepAuth {
		return "correct become in the fleet file"
	}
	return fmt.Sprintf("correct the %s command", q.step)
}

// repliesTo are the lines with which the host answered the questions of one
// kind.
func (a Answer) repliesTo(questions []question, kind questionKind) (lines []string) {
	for i, q := range questions {
		if r := a.asked[fmt.Sprint(i)]; q.kind == kind && r != nil {
			lines = append(lines, r.lines...)
		}
	}
	return lines
}

func rulesIn(questions []question, a Answer) ruleBook {
	return readRules(a.repliesTo(questions, askRules))
}

// judge fails if a command of the delivery will not be permitted. It also
// returns what could not be found out.
func (c *Courier) judge(questions []question, a Answer) ([]string, error) {
	var notes []string
	rules := rulesIn(questions, a)
	for i, q := range questions {
		r := a.asked[fmt.Sprint(i)]
		if r == nil {
			r = &reply{status: "no answer"}
		}
		var err error
		note := ""
		switch q.kind {
		case askTools:
			err = c.missingTools(r)
		case askProgram:
			if r.status != "0" {
				err = c.failed(q.step, fmt.Sprintf("%s is not found, as user %s; install it or %s", q.subject, c.User, q.instead()))
			}
		case askSudo:
			note, err = c.permitted(q, r, rules)
		case unaskable:
			note = c.Channel.Says(fmt.Sprintf("sudo cannot be asked beforehand about %q, the proof does not cover it", q.subject))
		}
		if err != nil {
			return nil, err
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	return notes, nil
}

func (c *Courier) missingTools(r *reply) error {
	said := strings.TrimSpace(strings.Join(r.lines, " "))
	if said == "" && r.status != "no answer" {
		return nil
	}
	return c.failed(rotation.StepWrite, fmt.Sprintf("%s is not found, as user %s; install coreutils or busybox", Scrub(said), c.User))
}
