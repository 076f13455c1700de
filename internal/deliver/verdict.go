package deliver

import (
	"cmp"
	"fmt"
	"strings"

	"keywave/internal/rotation"
)

// stands ends the sentence of a refusal that changed nothing.
const stands = "; the host still holds what it held before"

// refusals are the reasons why a file cannot be written, by the script's word
// for each, with what to do about it. {it} is what the script names, {user} the
// user who logs in.
var refusals = map[string]string{
	"nodir":      "the directory {it} does not exist; make it, or correct path",
	"closed":     "the directory {it} is not open to user {user}; let it in with chmod or chgrp, or correct path",
	"full":       "the directory {it} takes no new file of user {user}; let it write there, and see df and df -i",
	"moves":      "no file can be renamed in {it} by user {user}; let it write there",
	"unreadable": "{it} is not a file that we may read, as user {user}; let it read there, or correct path",
	"mount":      "{it} is a mount of its own and cannot be replaced; mount its directory instead, or write write: in-place into the fleet file",
	"sticky":     "{it} is another user's in a directory with the sticky bit: user {user} may not replace it; chown it to that user, or take a directory of its own",
	"links":      "the link {it} leads nowhere that can be followed; correct it, or path",
	"link":       "{it} is a link in a directory that others than root can write, and is not followed as root; put the file itself into path, or log in as the user that owns the directory",
	"torn":       "{it} could not be written in place, and may hold a part of the new key",
	"open":       "the directory {it} must be a directory of user {user}, and no link, in which nobody else writes; chown it, and chmod 700 it, or correct stageDir",
	"apart":      "from the directory {it} no file can be renamed to the place of the key: it is on another file system, or on one without hard links; write a stageDir that is on the key's",
	"rests":      "what is staged in {it} cannot be removed by user {user}; remove it there",
	"noprintf":   "sh has no printf of its own; make it dash, bash or busybox",
}

// verdict turns a verdict other than success into the operator's words.
func (c *Courier) verdict(a Answer, key rotation.Secret) error {
	if words, known := refusals[a.Verdict]; known {
		return c.unwritten(strings.NewReplacer("{it}", a.Rest, "{user}", c.User).Replace(words), a, key)
	}
	switch subject, rest, _ := strings.Cut(a.Rest, " "); a.Verdict {
	case "reload", "verify":
		return c.commandFailed(a, key)
	case "busy":
		return c.failed(rotation.StepReload, fmt.Sprintf("the file holds the new key, but an earlier run of reload and verify has taken %s s so far (process %s); the next delivery waits for it again, and ends it once it is older than %s; find out why it hangs", subject, rest, c.life()))
	case "stuck":
		return c.failed(rotation.StepReload, fmt.Sprintf("the file holds the new key, but an earlier run of reload and verify has taken %s s so far, and user %s may not end its process %s; no other is started: end it on the host, as root, with kill %s", subject, c.User, rest, rest))
	case "bare":
		return c.unwritten(rest+" is not in the format of the fleet file, so it was not written again with its own content; the next delivery writes it in that format", a, key)
	case "locked":
		return c.unwritten(locked(subject, rest, c.User), a, key)
	case "keep":
		return c.unwritten("what hangs on the file cannot be kept ("+a.Rest+"); install coreutils, or remove it from the file with setfacl -b or setfattr -x", a, key)
	case "owner", "group":
		return c.unwritten(c.notGiven(a.Verdict, subject, rest), a, key)
	case "mode":
		return c.unwritten(a.Rest+" cannot be given its mode; write mode: into the fleet file", a, key)
	case "cut":
		return c.failed(rotation.StepSession, "the connection broke: only a part of what was sent arrived"+stands)
	}
	return c.failed(rotation.StepSession, "the host answered with something else than a verdict; what it holds is not known until it is asked again")
}

func (c *Courier) life() string {
	if c.Life > 0 {
		return c.Life.String()
	}
	return DefaultLife.String()
}

// unwritten is the error for a refusal to write, with what the host's own tools
// said.
func (c *Courier) unwritten(why string, a Answer, key rotation.Secret) error {
	if said := Scrub(a.Noise, key); said != "" {
		why += " (" + said + ")"
	}
	if a.Verdict != "torn" {
		why += stands
	}
	return c.failed(rotation.StepWrite, why)
}

// locked says why the kernel does not let us replace a file, or lets nobody.
func locked(attributes, why, user string) string {
	reason, file, _ := strings.Cut(why, ": ")
	switch {
	case strings.Contains(attributes, "i"):
		return fmt.Sprintf("%s is immutable; run chattr -i on it", file)
	case strings.Contains(attributes, "a"):
		return fmt.Sprintf("%s can only be appended to; run chattr -a on it", file)
	case file == "":
		return fmt.Sprintf("%s cannot be written in place by user %s; let it write there, and see lsattr", reason, user)
	}
	return fmt.Sprintf("%s cannot be replaced by user %s: %s; let it write to the directory, and see lsattr and the mount", file, user, strings.ToLower(reason))
}

// notGiven is the error for a file that cannot get the owner or group that it
// should have.
func (c *Courier) notGiven(what, who, file string) string {
	if file == "" {
		return fmt.Sprintf("user %s may not give a file the %s %s of the fleet file; log in as root, or as a member of the group, or correct %s:", c.User, what, who, what)
	}
	return fmt.Sprintf("%s has the %s %s, which user %s may not give to a new file; log in as root or as that %s, or write %s: %s into the fleet file", file, what, who, c.User, what, what, c.User)
}

// commandFailed is the error for a reload or verify command that failed.
func (c *Courier) commandFailed(a Answer, key rotation.Secret) error {
	after := "; the file holds the new key, but its consumer may use the old one"
	if a.Verdict == string(rotation.StepVerify) {
		after = "; the file holds the new key and the reload command ran"
	}
	how := fmt.Sprintf("the %s command ended with status %s", a.Verdict, a.Rest)
	return c.failed(rotation.HostStep(a.Verdict), CommandFailed(how, a.Noise, key)+after)
}

// Remains says what is still true when a job gave no verdict.
func (j Job) Remains(a Answer) string {
	switch {
	case !j.Changes:
		return "nothing was changed"
	case j.Aside:
		return "the live file is as it was; what is staged beside it is not known"
	case a.Stage == string(rotation.StepReload), a.Stage == stageWait:
		return "the file holds the new key; whether the consumer has reloaded it is not known"
	case a.Stage == string(rotation.StepVerify):
		return "the file holds the new key and the reload command ran; whether the consumer uses it is not known"
	}
	return "what the host holds is not known until it is asked again"
}

// stageWait is the stage in which a delivery waits for a reload that somebody
// else began.
const stageWait = "wait"

// Stalled is the error for a job that gave no verdict within limit.
func (c *Courier) Stalled(j Job, a Answer, limit fmt.Stringer) error {
	switch a.Stage {
	case string(rotation.StepReload), string(rotation.StepVerify):
		return c.failed(rotation.HostStep(a.Stage), fmt.Sprintf("the %s command did not end within %s and goes on; %s. The next delivery waits for it, and ends it once it is older than %s", a.Stage, limit, j.Remains(a), c.life()))
	case stageWait:
		return c.failed(rotation.StepReload, fmt.Sprintf("an earlier reload did not end within %s; %s", limit, j.Remains(a)))
	}
	if !a.Begun {
		return c.failed(rotation.StepSession, fmt.Sprintf("stalled: the login shell did not begin our script for %s; see what its rc files wait for, and the network; %s", limit, j.Remains(a)))
	}
	return c.failed(rotation.StepSession, fmt.Sprintf("stalled: no answer for %s; %s", limit, j.Remains(a)))
}

// Silent is the error for a job whose script ended, or whose connection broke,
// without a verdict.
func (c *Courier) Silent(j Job, a Answer) error {
	switch {
	case !a.Begun && a.Status != "" && c.Become != "" && !j.AsLogin && ofSudo.MatchString(a.Noise):
		return c.sudoRanNothing(a)
	case !a.Begun && a.Status != "":
		return c.failed(rotation.StepAuth, c.notBegun(a)+"; nothing was changed")
	}
	how := "the connection broke"
	if a.Status != "" {
		how = "our script was ended by " + a.Status
	}
	return c.failed(rotation.StepSession, how+"; "+j.Remains(a))
}

// notBegun says what the login shell did instead of beginning our script. It
// says what to do where it can tell why.
func (c *Courier) notBegun(a Answer) string {
	how, noise := "lets us in, but the login shell ended with "+a.Status+" before our script began", strings.ToLower(a.Noise)
	do := "see that shell, what its rc files do, and ForceCommand in sshd_config and command= in authorized_keys"
	switch {
	case a.Swallowed():
		return "lets us in, but something that runs before our script reads its standard input: an rc file of the login shell, such as ~/.bashrc or ~/.cshrc; let that file end where there is no terminal, in bash by a first line [ -t 0 ] || return"
	case strings.Contains(noise, "sftp connections only"):
		do = "its sshd_config has ForceCommand internal-sftp for this user: take the user out of it, or log in as another"
	case strings.Contains(noise, "not available"):
		login := cmp.Or(c.Login, c.User)
		do = "user " + login + " has no login shell: give it one, usermod -s /bin/sh " + login + ", or log in as another"
	}
	return CommandFailed(how, a.Noise, rotation.Secret{}) + "; " + do
}
