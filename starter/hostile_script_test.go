package main

import (
	"net"
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"keywave/internal/proving/hostile"
)

// hostileWord has everything that a name may contain by the rules of the fleet
// file. badWord has what only others can say.
const (
	hostileWord = "=1+1|a\u202eb\u2066c\u200bd <b>*x*</b> [y](http://evil.example) <!channel>"
	badWord     = hostileWord + "\x1b[31m\x1b]0;t\x07\u009b2J\rok"
)

// stranger replaces a host by an SSH peer that nobody has authenticated, with
// hostile names for its algorithms. FLEET is then a fleet whose zones have
// hostile names, WORD is what a person may type, and BAD is what EdgeOne
// answers.
func stranger(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	go hostile.Talk(l, []byte("SSH-2.0-x\r\n"), hostile.Packet(hostile.KexInit("curve25519-sha256", "stranger-key "+badWord, "aes128-ctr")))
	file := ts.ReadFile(ts.Getenv("FLEET"))
	file = regexp.MustCompile(`(`+args[0]+`: \{ssh: \{address: )[^,]*`).ReplaceAllString(file, `${1}"`+l.Addr().String()+`"`)
	file = regexp.MustCompile(`name: [a-z0-9.-]+\.example\.com`).ReplaceAllString(file, `name: "`+hostileWord+`"`)
	path := ts.MkAbs("world/hostile.yaml")
	ts.Check(os.WriteFile(path, []byte(file), 0o600))
	ts.Setenv("FLEET", path)
	ts.Setenv("WORD", strings.TrimPrefix(badWord, "=")) // a person's argument may contain anything
	ts.Setenv("BAD", `Bad\u001b[31m\u202e\u009bCode\nok`)
}

// harmlessFiles fails if anything in stdout, stderr or the files acts on a
// terminal or is invisible, or if they do not contain what the stranger said.
func harmlessFiles(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := ts.ReadFile(name)
		if bad := hostile.Seen(strings.ReplaceAll(strings.ReplaceAll(text, "\n", ""), "\t", "")); bad != "" {
			ts.Fatalf("%s: %s", name, bad)
		}
	}
}
