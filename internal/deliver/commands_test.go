package deliver

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"keywave/internal/rotation"
)

// A proof asks about a command's first program, and about whatever surely goes
// to sudo. Words stay as they are written. It does not ask about what only a
// shell can read.
func TestQuestions(t *testing.T) {
	for command, want := range map[string]string{
		"":                                    "",
		"systemctl reload edge-gateway":       "? systemctl",
		"A=1 B='x y' /opt/bin/reload":         "? /opt/bin/reload",
		"exec nginx -s reload":                "? nginx",
		"if [ -e /x ]; then echo; fi":         "? [",
		"cd /x && ./y":                        "? cd",
		"(cd /x; ./y)":                        "? cd",
		"PATH=/opt/gw/bin:$PATH gwctl reload": "? gwctl",
		"sudo systemctl reload x":             "? sudo | root: sudo -n -l -- systemctl reload x",
		"sudo -n gwsec":                       "? sudo | root: sudo -n -l -- gwsec",
		"sudo -Hu gwsvc true":                 "? sudo | gwsvc: sudo -n -l -u gwsvc -- true",
		"sudo -nu root true":                  "? sudo | root: sudo -n -l -u root -- true",
		"sudo -uroot true":                    "? sudo | root: sudo -n -l -u 'root' -- true",
		"sudo --user gwsvc true":              "? sudo | gwsvc: sudo -n -l -u gwsvc -- true",
		"sudo --user=gwsvc -g gw true a":      "? sudo | gwsvc: sudo -n -l -u 'gwsvc' -g gw -- true a",
		"/usr/bin/sudo --non-interactive x":   "? /usr/bin/sudo | root: /usr/bin/sudo -n -l -- x",
		"sudo -n -u edge K=v nginx -s x":      "? sudo | edge: sudo -n -l -u edge -- nginx -s x",
		"sudo -- kill -HUP '1 2'":             "? sudo | root: sudo -n -l -- kill -HUP '1 2'",
		"sudo -E x >/dev/null 2>&1":           "? sudo | root: sudo -n -l -- x",
		"nginx -t && sudo nginx -s reload":    "? nginx | ? sudo | root: sudo -n -l -- nginx -s reload",
		"sudo a; sudo b # c":                  "? sudo | root: sudo -n -l -- a | ? sudo | root: sudo -n -l -- b",
		"true || sudo x":                      "? true",
		"if true; then sudo x; fi":            "? true",
		"sudo -i reload":                      "? sudo | unaskable",
		"sudo -n":                             "? sudo | unaskable",
		"sudo -l":                             "? sudo | unaskable",
		"`which gw` now":                      "",
		"\"$(which gw)\" now":                 "",
		"for f in a b; do sudo x; done":       "",
		"sudo kill $(cat /run/gw.pid)":        "",
		"'it is' \"a $HOME/x\"":               "? it is",
	} {
		var got []string
		for _, q := range asks(rotation.StepReload, command) {
			switch q.kind {
			case askProgram:
				got = append(got, "? "+q.subject)
			case askSudo:
				got = append(got, q.user+": "+strings.TrimPrefix(strings.TrimSpace(q.shell), "LC_ALL=C "))
			default:
				got = append(got, "unaskable")
			}
		}
		if strings.Join(got, " | ") != want {
			t.Errorf("%s\n got %s\nwant %s", command, strings.Join(got, " | "), want)
		}
	}
}

const listing = `Matching Defaults entries for edge on vm:
    env_reset, mail_badpass,
    secure_path=/usr/local/sbin\:/usr/local/bin, use_pty

Runas and Command-specific defaults for edge:
    Defaults!/usr/local/bin/gwtty requiretty

User edge may run the following commands on vm:

Sudoers entry:
    RunAsUsers: root
    Options: authenticate
    Commands:
	/usr/local/bin/gwreload

Sudoers entry:
    RunAsUsers: gwsvc
    Options: !authenticate
    Commands:
	/usr/bin/true

Sudoers entry: /etc/sudoers.d/more
    RunAsUsers: ALL
    RunAsGroups: ALL
    Options: setenv, !authenticate
    Commands:
	/usr/bin/systemctl reload *
	/opt/gw/
	/usr/local/bin/gwtty
`

func TestRules(t *testing.T) {
	book := readRules(strings.Split(listing, "\n"))
	for asked, want := range map[string]answer{
		"root /usr/local/bin/gwreload":       yes,
		"gwsvc /usr/bin/true":                no,
		"gwsvc /usr/bin/true with words":     no,
		"root /usr/bin/true":                 unknown,
		"root /usr/bin/systemctl reload gw":  no,
		"root /usr/bin/systemctl reload a/b": no,
		"root /usr/bin/systemctl restart gw": unknown,
		"root /opt/gw/reload":                no,
	} {
		user, command, _ := strings.Cut(asked, " ")
		if got := book.authenticates(user, command); got != want {
			t.Errorf("%s: %v, want %v", asked, got, want)
		}
	}
	if book.records("root", "sh") != no || readRules(nil).records("root", "sh") != unknown {
		t.Error("it is not recognised whether sudo logs the input")
	}
	if !book.needsTerminal("/usr/local/bin/gwtty") || book.needsTerminal("/usr/local/bin/gwreload") {
		t.Error("who wants a terminal is not told apart")
	}
	all := readRules(strings.Split("Sudoers entry:\n    RunAsUsers: ALL\n    Options: !authenticate\n    Commands:\n\tALL\n", "\n"))
	if fmt.Sprint(all.authenticates("x", "/y")) != fmt.Sprint(no) {
		t.Error("ALL is not read")
	}
}

// Dropbear ends a connection when a command has more than 9,000 bytes.
func TestCommandFitsDropbear(t *testing.T) {
	longest := strings.Repeat("x", 32)
	if CheckBecome(longest) != nil || CheckBecome(longest+"x") == nil {
		t.Fatal("another name is the longest now")
	}
	for i := range 6 {
		become := []string{"", longest}[i/3]
		if n := len([]Form{Quoted, Bare, Piped}[i%3].Command(become)); n > 9000 {
			t.Errorf("the command has %d bytes", n)
		}
	}
}

// A name that a host gets as one letter is nothing but a name in the script: of a variable
// or of a function. The letter is no other word.
func TestBriefNames(t *testing.T) {
	comments := regexp.MustCompile(`(?m)^\s*#.*$`)
	for name, letter := range brief {
		text := comments.ReplaceAllString(hostScript+stageScript+activateScript, "")
		asName := `(?m)\$\{?#?NAME\b|\bNAME(=|\(\))|\bfor NAME in|\bfor l in [\w ]*\bNAME\b|\bread -r [\w ]*\bNAME\b|(^\s*|\|\| |&& |\) |; |\{ |\$\(|if |while )NAME( "?[a-z0-9$%]|;| && | ;;| \| |\)|$)|\b(get|text) NAME$|\$\(\(NAME |[-+] NAME\)\)`
		text = regexp.MustCompile(strings.ReplaceAll(asName, "NAME", name)).ReplaceAllString(text, "")
		if at := regexp.MustCompile(`.*\b(` + name + `|` + letter + `)\b.*`).FindString(text); at != "" {
			t.Errorf("%s is to be %s, and one of them is a word here: %s", name, letter, at)
		}
	}
}
