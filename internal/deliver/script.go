package deliver

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed host.sh
var hostScript string

// script is what a host gets of host.sh: Dropbear takes no command above 9,000
// bytes.
var script = stripped(hostScript)

// stripped leaves out comments and indentation.
func stripped(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// Command is the command for a host's login shell, always the same: it starts an
// sh for the script, unless the login shell is one.
func Command(isSh bool) string {
	if isSh {
		return script
	}
	return "sh -c " + quote(script)
}

// Arguments run the script on this machine.
func Arguments() []string { return []string{"sh", "-c", script} }

// quote makes one word of s for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// lines writes a text of any number of lines behind their number.
func lines(b *strings.Builder, text string) {
	fmt.Fprintf(b, "%d\n%s\n", strings.Count(text, "\n")+1, text)
}
