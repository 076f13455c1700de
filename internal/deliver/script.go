package deliver

import (
	"cmp"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed host.sh
var hostScript string

//go:embed stage.sh
var stageScript string

//go:embed activate.sh
var activateScript string

// script is host.sh as a host gets it: shortened, because Dropbear takes no
// command above 9,000 bytes. staging and activating are stage.sh and activate.sh, which it
// gets on stdin.
var script, staging, activating = stripped(hostScript), stripped(stageScript), stripped(activateScript)

// tight leaves out blanks that a shell does not need.
var tight = strings.NewReplacer(" | ", "|", " ;; ", ";;", " ;;", ";;", " || ", "||", " && ", "&&", "; then", ";then", "; }", ";}", "() {", "(){", "; do", ";do")

// brief are the names in the scripts that a host gets as a letter or two. Nothing else
// there is such a word, and no other name is such a letter (TestBriefNames).
var brief = map[string]string{
	"dir": "D", "fail": "F", "file": "J", "rehearse": "K", "there": "H", "tmp": "T", "run": "R", "rest": "Q",
	"void": "N", "synced": "sy", "lies": "ly", "shelf": "S", "say": "Y", "verb": "V", "staged": "A", "inputs": "I", "poured": "U", "perform": "X", "over": "W",
	"lock": "B", "expected": "M", "create": "b", "temps": "h", "flush": "i", "print": "j", "text": "q", "serve": "y",
	"blank": "bl", "whole": "wh", "last": "la", "list": "li", "want": "wa", "newest": "ne", "in_c": "ic", "hash": "ha",
	"stem": "st", "pour": "po", "mounts": "mo", "dress": "dr", "seen": "sn", "mark": "ma", "pgrp": "pg", "join": "jo",
	"clock": "cl", "hops": "ho", "examine": "ex", "replace": "re", "words": "ws", "lead": "ld",
	"first": "fr", "finish": "fn", "expect": "xp", "base": "bs", "mine": "mi", "aged": "ag", "rows": "ro", "fill": "fl",
	"sums": "su", "into": "it", "see": "se", "odd": "od", "key": "ky", "get": "gx", "tidy": "ti", "make": "mk", "now": "nw", "since": "sc", "age": "ae", "pid": "pi", "zones": "zs",
	"write": "wr", "limit": "lm", "life": "lf", "hint": "hi", "head": "hd", "tail": "tl", "state": "sx", "start": "sa", "look": "lk", "fits": "ft", "lasts": "lz",
	"late": "lq", "anew": "an", "path": "pa",
}

// apart is a blank before a redirection; behind a digit it is needed.
var apart = regexp.MustCompile(`([^0-9 ]) ([<>])`)

var word = regexp.MustCompile(`\w+`)

// stripped leaves out comments and indentation, and makes names brief.
func stripped(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, tight.Replace(line))
		}
	}
	text = apart.ReplaceAllString(strings.Join(lines, "\n"), "$1$2")
	return word.ReplaceAllStringFunc(text, func(w string) string { return cmp.Or(brief[w], w) }) + "\n"
}

// Form is how the script gets past a user's login shell.
type Form int32

const (
	// Quoted gives the script as one word of a command that starts an sh. It is
	// for a shell that takes newlines in quotes, as bash, zsh and fish do, and is
	// the first guess for a host that is not known yet.
	Quoted Form = iota
	// Bare is for a login shell that is an sh: it runs the script itself.
	Bare
	// Piped is for a shell that takes no newline in quotes, as csh and tcsh: the
	// command is one line, and the script comes in front of the input.
	Piped
)

// FormFor is the form for a login shell. The script told the shell's name when
// it ran in the form that was tried.
func FormFor(shell string, tried Form) Form {
	switch {
	case shell == "sh", shell == "dash", shell == "ash": // one shell less saves a sixth of what a delivery costs a host
		return Bare
	case tried == Piped:
		return Piped
	}
	return Quoted
}

// Command is the command for a host's login shell. It is always the same for a
// form. The script runs as the login if become is empty, and otherwise by sudo
// as that user.
func (f Form) Command(become string) string {
	sudo := ""
	if become != "" {
		sudo = "sudo -n -u " + become + " "
	}
	switch {
	case f == Piped:
		return sudo + "sh -c " + quote(reader)
	case f == Bare && become == "":
		return script
	}
	return sudo + "sh -c " + quote(script)
}

// Input is what the command reads: the rest, and in front of it the script
// where that is not part of the command.
func (f Form) Input(rest []byte) []byte {
	if f != Piped {
		return rest
	}
	return append([]byte(scriptBegins+"\n"+script+scriptEnds+"\n"), rest...)
}

// The marks around a script that is read from the input. A shell reads a pipe
// byte by byte, so what follows is left for the script.
const (
	scriptBegins = "#begin"
	scriptEnds   = "#end"
	reader       = `IFS= read -r l;[ "$l" = "` + scriptBegins + `" ]||exit ` + swallowed + `;n=$(printf "\n.");n=${n%.};p=;` +
		`while IFS= read -r l;do case $l in "` + scriptEnds + `")eval "$p";exit;;esac;p=$p$l$n;done;exit ` + swallowed
	// swallowed is the script's exit status when it does not find its input whole.
	swallowed = "97"
)

// Swallowed says that something that ran before the script has read its input.
func (a Answer) Swallowed() bool { return !a.Begun && a.Status == "status "+swallowed }

// Arguments run the script on this machine.
func Arguments() []string { return []string{"sh", "-c", script} }

// quote makes s one word for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// lines writes the number of lines of a text, and then the text.
func lines(b *strings.Builder, text string) {
	fmt.Fprintf(b, "%d\n%s\n", strings.Count(text, "\n")+1, text)
}
