package exec

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// guarded refuses a program that does not exist, and one that somebody other
// than root and this process's user may write or replace: such a person would
// get keys.
func guarded(program string) error {
	file, err := filepath.EvalSymlinks(program)
	if err != nil {
		return fmt.Errorf("%s is not there: %w; install it, or correct command", program, cause(err))
	}
	for _, path := range []string{file, program} {
		for {
			if err := ours(path); err != nil {
				return err
			}
			above := filepath.Dir(path)
			if above == path {
				break
			}
			path = above
		}
	}
	return nil
}

// ours refuses a file or directory that others may write. A directory with the
// sticky bit is accepted, because others may not replace our files in it.
func ours(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("%s cannot be checked: %w", path, cause(err))
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	shared := info.Mode().Perm()&0o022 != 0 && info.Mode()&(fs.ModeSymlink|fs.ModeSticky) == 0
	if me := os.Getuid(); shared || owner != 0 && int(owner) != me {
		return fmt.Errorf("%s may be written by others than root and user %d (it is user %d's, %s), and who can write it gets keys; run chown root and chmod go-w on it", path, me, owner, info.Mode())
	}
	return nil
}

func cause(err error) error {
	if wrapped, is := err.(*fs.PathError); is {
		return wrapped.Err
	}
	return err
}

// hidden matches names of settings that are a secret or lead to one.
var hidden = regexp.MustCompile(`KEY|SECRET|TOKEN|PASS|CREDENTIAL|IDENTITY|AUTH|WEBHOOK|PRIVATE`)

// environment is what a program gets of this process's environment: where to
// find programs and the user's files, the language, and settings whose names
// begin with KEYWAVE_ and are no secrets.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		setting, is := strings.CutPrefix(name, "KEYWAVE_")
		return !slices.Contains([]string{"PATH", "HOME", "LANG"}, name) && (!is || hidden.MatchString(strings.ToUpper(setting)))
	})
}
